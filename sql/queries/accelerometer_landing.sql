-- What the phone app measured, as it was delivered.
SELECT *
FROM accelerometer_landing AS reading
ORDER BY reading.timestamp, reading.user, reading.x, reading.y, reading.z
LIMIT 15
