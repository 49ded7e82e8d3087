"""Networks: their modules, the catalogue, and weight files of all kinds."""
