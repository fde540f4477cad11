"""The dataflow engine: reads the records of pipelines, joins them step by step and writes what comes next."""
