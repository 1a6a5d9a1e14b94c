-- A ticket service for many tenants: every key begins with the tenant.
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE TABLE tenant (id uuid PRIMARY KEY, subdomain text NOT NULL, plan text NOT NULL CHECK (plan IN ('free', 'team', 'enterprise')), suspended boolean NOT NULL DEFAULT false);
CREATE UNIQUE INDEX tenant_subdomain_key ON tenant (lower(subdomain));
CREATE TABLE member (tenant_id uuid NOT NULL REFERENCES tenant ON DELETE CASCADE, id bigint NOT NULL, email text NOT NULL, external_id text, role text NOT NULL,
  last_seen timestamptz, settings jsonb NOT NULL DEFAULT '{}', PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, email));
-- NULL external ids repeat, others do not; the sync job looks them up by id alone.
CREATE UNIQUE INDEX member_external_key ON member (tenant_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX member_external ON member (external_id text_pattern_ops) WHERE external_id IS NOT NULL;
CREATE INDEX member_external_hash ON member USING hash (external_id);
CREATE TABLE project (tenant_id uuid NOT NULL, id bigint NOT NULL, key text NOT NULL, lead_id bigint, archived boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, key), FOREIGN KEY (tenant_id) REFERENCES tenant ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, lead_id) REFERENCES member (tenant_id, id));
CREATE INDEX project_lead ON project (tenant_id, lead_id) WHERE lead_id IS NOT NULL;
CREATE TABLE ticket (tenant_id uuid NOT NULL, id bigint NOT NULL, project_id bigint NOT NULL, number int NOT NULL, title text NOT NULL, state text NOT NULL DEFAULT 'open',
  priority smallint NOT NULL DEFAULT 3, reporter_id bigint NOT NULL, assignee_id bigint, due_on date, labels text[] NOT NULL DEFAULT '{}', created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, project_id, number),
  FOREIGN KEY (tenant_id, project_id) REFERENCES project (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, reporter_id) REFERENCES member (tenant_id, id), FOREIGN KEY (tenant_id, assignee_id) REFERENCES member (tenant_id, id),
  CHECK (state IN ('open', 'waiting', 'done', 'rejected')));
CREATE INDEX ticket_reporter ON ticket (reporter_id, tenant_id);
CREATE INDEX ticket_assignee ON ticket (tenant_id, assignee_id, state);
CREATE INDEX ticket_board ON ticket (tenant_id, project_id, state, priority DESC, updated_at DESC);
CREATE INDEX ticket_recent ON ticket (tenant_id, updated_at DESC, id DESC);
CREATE INDEX ticket_oldest_open ON ticket (tenant_id, created_at) WHERE state = 'open';
CREATE INDEX ticket_waiting ON ticket (tenant_id, created_at) WHERE state = 'waiting';
CREATE INDEX ticket_due ON ticket (due_on) WHERE due_on IS NOT NULL AND state <> 'done';
CREATE INDEX ticket_labels ON ticket USING gin (labels);
CREATE TABLE comment (tenant_id uuid NOT NULL, id bigint NOT NULL, ticket_id bigint NOT NULL, author_id bigint, body text NOT NULL, created_at timestamptz NOT NULL, PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, ticket_id) REFERENCES ticket (tenant_id, id) ON DELETE CASCADE, FOREIGN KEY (tenant_id, author_id) REFERENCES member (tenant_id, id));
CREATE INDEX comment_ticket ON comment (tenant_id, ticket_id, created_at);
CREATE INDEX comment_author ON comment (tenant_id, author_id) WHERE author_id IS NOT NULL AND tenant_id IS NOT NULL;
CREATE TABLE booking (tenant_id uuid NOT NULL REFERENCES tenant, room int NOT NULL, during tstzrange NOT NULL, member_id bigint NOT NULL,
  FOREIGN KEY (tenant_id, member_id) REFERENCES member (tenant_id, id), EXCLUDE USING gist (tenant_id WITH =, room WITH =, during WITH &&));
CREATE INDEX booking_member ON booking (tenant_id, member_id);
CREATE TABLE webhook_delivery (id bigserial PRIMARY KEY, tenant_id uuid NOT NULL REFERENCES tenant ON DELETE CASCADE, state text NOT NULL, attempts int NOT NULL DEFAULT 0, run_at timestamptz NOT NULL, payload jsonb NOT NULL);
CREATE INDEX webhook_tenant ON webhook_delivery (tenant_id, id DESC);
CREATE INDEX webhook_queue ON webhook_delivery (run_at, id) WHERE state = 'queued' AND attempts < 10;
CREATE INDEX webhook_dead ON webhook_delivery (run_at) WHERE state = 'queued' AND attempts >= 10;
