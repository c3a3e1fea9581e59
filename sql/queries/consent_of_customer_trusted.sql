-- Proof that nobody without consent is in customer_trusted: without_consent must be 0.
SELECT
  count(*) AS customers,
  count(sharewithresearchasofdate) AS with_consent,
  count(*) - count(sharewithresearchasofdate) AS without_consent
FROM customer_trusted
