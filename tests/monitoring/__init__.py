"""Prometheus' configuration and rules, Grafana's dashboards and the page about metrics, judged without a deployment."""
