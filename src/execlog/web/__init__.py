"""Floor 5: the server. One route table makes the routes, their validation, their document and their authorisation."""
