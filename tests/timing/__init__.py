"""Whether answer times tell who has an account: measured on a real server, judged by a statistical test."""
