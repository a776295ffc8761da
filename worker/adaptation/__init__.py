"""The loop that adapts watched models to their traffic: drift, training, gate, promotion, guard."""
