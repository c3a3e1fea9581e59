-- step_trainer_landing: one distance reading of a Step Trainer. Generated from stedi_assets/contracts.py: make ddl
-- To look at what was delivered. AWS documents that this SerDe may show more rows than there are, fewer, or
-- nulls in place of values: count step_trainer_records, and what could not be read in step_trainer_quarantine.
CREATE EXTERNAL TABLE IF NOT EXISTS `step_trainer_landing` (
  `sensorreadingtime` bigint COMMENT 'When the Step Trainer measured (epoch milliseconds, UTC)',
  `serialnumber` string COMMENT 'Serial number of the Step Trainer',
  `distancefromobject` bigint COMMENT 'Distance from the sensor to the object in front of it, in the unit of the sensor'
)
COMMENT 'one distance reading of a Step Trainer. To look at what was delivered, not to count: see step_trainer_records'
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES (
  'ignore.malformed.json' = 'TRUE',
  'use.null.for.invalid.data' = 'TRUE',
  'case.insensitive' = 'TRUE'
)
STORED AS TEXTFILE
LOCATION '${location}';
