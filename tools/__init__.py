"""Programs for developers: generators and checks. Not shipped."""
