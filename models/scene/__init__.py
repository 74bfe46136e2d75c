"""Rooms: meshes with named objects, their signed distance, where one can walk, and ways through them."""
