-- customer_landing: one record of a customer, as the website sent it. Generated from stedi_assets/contracts.py: make ddl
-- To look at what was delivered. AWS documents that this SerDe may show more rows than there are, fewer, or
-- nulls in place of values: count customer_records, and what could not be read in customer_quarantine.
CREATE EXTERNAL TABLE IF NOT EXISTS `customer_landing` (
  `customername` string COMMENT 'Full name of the customer',
  `email` string COMMENT 'E-mail address of the customer, which identifies them',
  `phone` string COMMENT 'Phone number of the customer',
  `birthday` string COMMENT 'Birthday of the customer as they typed it (yyyy-mm-dd)',
  `serialnumber` string COMMENT 'Serial number of the Step Trainer',
  `registrationdate` bigint COMMENT 'When the customer registered (epoch milliseconds, UTC)',
  `lastupdatedate` bigint COMMENT 'When this record was last changed (epoch milliseconds, UTC)',
  `sharewithresearchasofdate` bigint COMMENT 'Since when the customer shares data with research, null where not shared (epoch milliseconds, UTC)',
  `sharewithpublicasofdate` bigint COMMENT 'Since when the customer shares data with the public, null where not shared (epoch milliseconds, UTC)',
  `sharewithfriendsasofdate` bigint COMMENT 'Since when the customer shares data with friends, null where not shared (epoch milliseconds, UTC)'
)
COMMENT 'one record of a customer, as the website sent it. To look at what was delivered, not to count: see customer_records'
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES (
  'ignore.malformed.json' = 'TRUE',
  'use.null.for.invalid.data' = 'TRUE',
  'case.insensitive' = 'TRUE'
)
STORED AS TEXTFILE
LOCATION '${location}';
