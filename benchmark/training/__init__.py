"""How a cell is trained: inputs of a step, the task, the loop, the memory."""
