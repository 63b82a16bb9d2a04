"""What is known of a forecast before any network: fields carried along their motion, and how well that went so far."""
