"""Rules of users, the alerts that forecasts raise by them, and the delivery of these alerts."""
