"""Files that are nearly right, and arguments that are not: nothing may end in anything but a result
or an error that is told. `test_targets` tries a few; ``make fuzz`` as many as time allows."""
