"""Pools of tokens poured into the room that jobs leave, and jobs moved for their sake."""
