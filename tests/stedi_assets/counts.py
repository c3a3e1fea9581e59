"""How many rows each table has for the reference data, under each consent rule."""

COUNTS = {
    "customer": {
        "customer_records": 956,
        "accelerometer_records": 81_273,
        "step_trainer_records": 28_680,
        "customer_quarantine": 0,
        "accelerometer_quarantine": 0,
        "step_trainer_quarantine": 0,
        "customer_trusted": 482,
        "accelerometer_trusted": 40_981,
        "customers_curated": 482,
        "step_trainer_trusted": 14_460,
        "machine_learning_curated": 40_981,
    }
}
COUNTS["as-of-date"] = {
    **COUNTS["customer"],
    "accelerometer_trusted": 32_025,
    "customers_curated": 464,
    "step_trainer_trusted": 11_297,
    "machine_learning_curated": 32_025,
}
