"""How good forecasts were: counted once each, summed over any period."""
