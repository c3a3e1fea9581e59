-- Customers who agreed to share their data for research: no blank in sharewithresearchasofdate.
SELECT *
FROM customer_trusted
ORDER BY registrationdate, email
LIMIT 15
