"""What commands print, as text: tables, charts, lines; the data comes from elsewhere."""
