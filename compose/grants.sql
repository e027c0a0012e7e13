-- The database accounts of one service. An administrator runs this file for each
-- service; running it again is safe. The program that runs it (xtask on one
-- machine, the database agent in a stack) replaces {{service}}, {{password}} and
-- {{migrate_password}}. Each statement ends with a semicolon at the end of a line.

-- utf8mb4_bin compares bytes. The services normalize usernames and e-mail
-- addresses before they store them.
CREATE DATABASE IF NOT EXISTS `{{service}}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The running service can only read and write rows of its schema, so that an
-- attacker who takes it over can neither change tables nor read other schemas.
CREATE USER IF NOT EXISTS '{{service}}'@'%' IDENTIFIED BY '{{password}}';
ALTER USER '{{service}}'@'%' IDENTIFIED BY '{{password}}';
GRANT SELECT, INSERT, UPDATE, DELETE ON `{{service}}`.* TO '{{service}}'@'%';

-- `migrate` changes tables, and runs alone before the service starts.
CREATE USER IF NOT EXISTS '{{service}}_migrate'@'%' IDENTIFIED BY '{{migrate_password}}';
ALTER USER '{{service}}_migrate'@'%' IDENTIFIED BY '{{migrate_password}}';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON `{{service}}`.* TO '{{service}}_migrate'@'%';
