-- What customers told the website, as it was delivered. A blank consent column: not shared.
SELECT *
FROM customer_landing
ORDER BY registrationdate, email, lastupdatedate
LIMIT 15
