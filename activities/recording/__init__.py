"""What every step is surrounded by: its ticket, the record of each act, the yes of a person, and how errors leave."""
