-- How far an attempt has come, as its executor tells: JSON.
ALTER TABLE beacon_attempts ADD COLUMN progress TEXT;
