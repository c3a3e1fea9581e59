-- accelerometer_landing: one accelerometer reading of a phone. Generated from stedi_assets/contracts.py: make ddl
-- To look at what was delivered. AWS documents that this SerDe may show more rows than there are, fewer, or
-- nulls in place of values: count accelerometer_records, and what could not be read in accelerometer_quarantine.
CREATE EXTERNAL TABLE IF NOT EXISTS `accelerometer_landing` (
  `user` string COMMENT 'E-mail address of the owner of the phone',
  `timestamp` bigint COMMENT 'When the phone took the reading (epoch milliseconds, UTC)',
  `x` double COMMENT 'Acceleration along the x axis of the phone, as its app reports it',
  `y` double COMMENT 'Acceleration along the y axis of the phone, as its app reports it',
  `z` double COMMENT 'Acceleration along the z axis of the phone, as its app reports it'
)
COMMENT 'one accelerometer reading of a phone. To look at what was delivered, not to count: see accelerometer_records'
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES (
  'ignore.malformed.json' = 'TRUE',
  'use.null.for.invalid.data' = 'TRUE',
  'case.insensitive' = 'TRUE'
)
STORED AS TEXTFILE
LOCATION '${location}';
