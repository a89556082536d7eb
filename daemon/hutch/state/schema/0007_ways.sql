-- By which way in a connection came: "door", "proxy", "socks" or "dns"; empty: nobody noted it.

ALTER TABLE connections ADD COLUMN way TEXT NOT NULL DEFAULT '';
