-- Proof that nobody without consent is in customer_trusted: without_consent must be 0. A date of 0 is no consent.
SELECT
  count(*) AS customers,
  count(CASE WHEN sharewithresearchasofdate > 0 THEN 1 END) AS with_consent,
  count(*) - count(CASE WHEN sharewithresearchasofdate > 0 THEN 1 END) AS without_consent
FROM customer_trusted
