-- A web shop: enums, soft deletes, unique keys beside search indexes, work queues.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE TYPE order_state AS ENUM ('cart', 'placed', 'paid', 'shipped', 'returned', 'cancelled');
CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL, phone text, full_name text NOT NULL,
  locale text NOT NULL DEFAULT 'en', marketing boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz);
-- One living account for an address, whatever its case; and a support desk that types the beginning of it.
CREATE UNIQUE INDEX customer_email_key ON customer (lower(email)) WHERE deleted_at IS NULL;
CREATE INDEX customer_email_prefix ON customer (lower(email) text_pattern_ops);
CREATE INDEX customer_name_trgm ON customer USING gin (full_name gin_trgm_ops);
CREATE INDEX customer_marketing ON customer (id) WHERE marketing AND deleted_at IS NULL;
CREATE TABLE address (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
  line1 text NOT NULL, city text NOT NULL, postcode text NOT NULL, country char(2) NOT NULL, is_default boolean NOT NULL DEFAULT false);
CREATE INDEX address_customer ON address (customer_id);
CREATE UNIQUE INDEX address_default ON address (customer_id) WHERE is_default;
CREATE TABLE category (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent_id int REFERENCES category, slug text NOT NULL UNIQUE, name text NOT NULL);
CREATE INDEX category_parent ON category (parent_id);
CREATE TABLE product (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sku text NOT NULL UNIQUE, category_id int NOT NULL REFERENCES category,
  title text NOT NULL, body text, price_cents int NOT NULL, attributes jsonb NOT NULL DEFAULT '{}', search tsvector, active boolean NOT NULL DEFAULT true, updated_at timestamptz NOT NULL);
CREATE INDEX product_category_price ON product (category_id, price_cents) INCLUDE (title) WHERE active;
CREATE INDEX product_category ON product (category_id);
CREATE INDEX product_attributes ON product USING gin (attributes jsonb_path_ops);
CREATE INDEX product_search ON product USING gin (search);
CREATE INDEX product_title_trgm ON product USING gin (title gin_trgm_ops);
CREATE TABLE stock (warehouse int NOT NULL, product_id bigint NOT NULL REFERENCES product, quantity int NOT NULL CHECK (quantity >= 0), reserved int NOT NULL DEFAULT 0,
  PRIMARY KEY (warehouse, product_id)) WITH (fillfactor = 70);
CREATE INDEX stock_product ON stock (product_id, warehouse);
CREATE TABLE "order" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number text NOT NULL, customer_id bigint NOT NULL REFERENCES customer,
  ship_to bigint REFERENCES address ON DELETE SET NULL, state order_state NOT NULL DEFAULT 'cart', total_cents int NOT NULL, placed_at timestamptz, updated_at timestamptz NOT NULL);
CREATE UNIQUE INDEX order_number_key ON "order" (number) INCLUDE (state);
CREATE INDEX order_customer_placed ON "order" (customer_id, placed_at DESC NULLS LAST);
CREATE INDEX order_ship_to ON "order" (ship_to) WHERE ship_to IS NOT NULL;
CREATE INDEX order_to_ship ON "order" (placed_at) WHERE state = 'paid';
CREATE INDEX order_open ON "order" (updated_at) WHERE state IN ('cart', 'placed');
CREATE INDEX order_placed_brin ON "order" USING brin (placed_at);
CREATE TABLE order_line (order_id bigint NOT NULL REFERENCES "order" ON DELETE CASCADE, line int NOT NULL, product_id bigint NOT NULL REFERENCES product,
  quantity int NOT NULL, price_cents int NOT NULL, PRIMARY KEY (order_id, line));
CREATE INDEX order_line_product ON order_line (product_id);
CREATE TABLE coupon (code text PRIMARY KEY, percent int NOT NULL CHECK (percent BETWEEN 1 AND 100), valid_from date NOT NULL, valid_to date NOT NULL);
CREATE TABLE coupon_use (coupon_code text NOT NULL REFERENCES coupon, order_id bigint NOT NULL REFERENCES "order" ON DELETE CASCADE, PRIMARY KEY (order_id, coupon_code));
CREATE INDEX coupon_use_code ON coupon_use (coupon_code);
CREATE TABLE review (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, product_id bigint NOT NULL REFERENCES product, customer_id bigint NOT NULL REFERENCES customer,
  stars smallint NOT NULL CHECK (stars BETWEEN 1 AND 5), status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'shown', 'hidden')), body text, created_at timestamptz NOT NULL,
  UNIQUE (customer_id, product_id));
CREATE INDEX review_product_shown ON review (product_id, created_at DESC) WHERE status = 'shown';
CREATE INDEX review_product_stars ON review (product_id, stars);
CREATE INDEX review_pending ON review (created_at) WHERE status = 'pending';
