"""What routing has saved and how well it serves: sightings, the book, the report, the dashboard."""
