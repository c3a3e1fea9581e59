-- How many rows each table has, in the order in which they are made.
SELECT table_name, row_count
FROM (
  SELECT 1 AS made, 'customer_records' AS table_name, count(*) AS row_count FROM customer_records
  UNION ALL
  SELECT 2 AS made, 'accelerometer_records' AS table_name, count(*) AS row_count FROM accelerometer_records
  UNION ALL
  SELECT 3 AS made, 'step_trainer_records' AS table_name, count(*) AS row_count FROM step_trainer_records
  UNION ALL
  SELECT 4 AS made, 'customer_trusted' AS table_name, count(*) AS row_count FROM customer_trusted
  UNION ALL
  SELECT 5 AS made, 'accelerometer_trusted' AS table_name, count(*) AS row_count FROM accelerometer_trusted
  UNION ALL
  SELECT 6 AS made, 'customers_curated' AS table_name, count(*) AS row_count FROM customers_curated
  UNION ALL
  SELECT 7 AS made, 'step_trainer_trusted' AS table_name, count(*) AS row_count FROM step_trainer_trusted
  UNION ALL
  SELECT 8 AS made, 'machine_learning_curated' AS table_name, count(*) AS row_count FROM machine_learning_curated
) AS counts
ORDER BY made
