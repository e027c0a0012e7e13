-- What one service may do in the database: run once for each service, by an
-- administrator, and again at any time. {{service}}, {{password}} and
-- {{migrate_password}} are filled in by whoever runs it (xtask on one machine,
-- the database image in a stack). One statement ends with each semicolon at a
-- line's end.

-- utf8mb4_bin compares bytes: a username or an e-mail address is folded by the
-- service that owns it, once, and never by the database.
CREATE DATABASE IF NOT EXISTS `{{service}}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The running service reads and writes rows of its own schema, and nothing else:
-- a hole in it can neither change a table nor see another service's data.
CREATE USER IF NOT EXISTS '{{service}}'@'%' IDENTIFIED BY '{{password}}';
ALTER USER '{{service}}'@'%' IDENTIFIED BY '{{password}}';
GRANT SELECT, INSERT, UPDATE, DELETE ON `{{service}}`.* TO '{{service}}'@'%';

-- `migrate` changes tables, and runs alone before the service starts.
CREATE USER IF NOT EXISTS '{{service}}_migrate'@'%' IDENTIFIED BY '{{migrate_password}}';
ALTER USER '{{service}}_migrate'@'%' IDENTIFIED BY '{{migrate_password}}';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON `{{service}}`.* TO '{{service}}_migrate'@'%';
