"""What tests of the operator share beside the test bed: how a story is told and how the operator is run for it."""
