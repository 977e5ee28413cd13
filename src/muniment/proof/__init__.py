"""What a receipt says and how it is checked: pure, no I/O, few dependencies."""
