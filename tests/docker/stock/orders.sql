CREATE TABLE orders (id int PRIMARY KEY, what varchar(20) NOT NULL);
INSERT INTO orders VALUES (1, 'a kite'), (2, 'a drum'), (3, 'a boat');
