"""An operation told to whoever was not there, in every form, and sealed."""
