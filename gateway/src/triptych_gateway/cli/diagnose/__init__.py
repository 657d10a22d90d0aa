"""`triptych diagnose`: what somebody needs to know who is to help, and nothing that is private."""
