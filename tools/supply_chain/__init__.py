"""What Triptych is made of: known vulnerabilities, licences, and a list of all parts."""
