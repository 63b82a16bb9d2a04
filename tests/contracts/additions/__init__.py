"""One plug-in of every kind, registered under `NAME`; test_adding_one_thing.py copies each under a free name."""
