"""The privacy manager: keeps the payloads of private transactions, all state in SQL, made to be replicated."""
