"""How people and programs read results: units, tables, sentences, formats."""
