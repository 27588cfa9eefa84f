-- By which servers know again what they recorded, while it is open: an intent without it is not signed. What is open at this
-- step has none, and its device asks again. Without a condition on its length, for which all certificates would be read.
ALTER TABLE certificates ADD COLUMN intent_mac BLOB;
