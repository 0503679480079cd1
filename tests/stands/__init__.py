"""What tests and bench put before and behind the project: stand-ins for servers, hosts and clouds."""
