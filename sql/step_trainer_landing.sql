-- step_trainer_landing: one distance reading of a Step Trainer. Generated from stedi_assets/contracts.py: make ddl
CREATE EXTERNAL TABLE IF NOT EXISTS `step_trainer_landing` (
  `sensorreadingtime` bigint COMMENT 'When the Step Trainer measured (epoch milliseconds, UTC)',
  `serialnumber` string COMMENT 'Serial number of the Step Trainer',
  `distancefromobject` bigint COMMENT 'Distance from the sensor to the object in front of it, in the unit of the sensor'
)
COMMENT 'one distance reading of a Step Trainer'
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES (
  'ignore.malformed.json' = 'TRUE',
  'use.null.for.invalid.data' = 'TRUE',
  'case.insensitive' = 'TRUE'
)
STORED AS TEXTFILE
LOCATION '${location}';
