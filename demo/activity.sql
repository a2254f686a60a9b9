-- Some busy days: people, an API key, a support agent on a customer's behalf, nightly jobs.
-- Each step is a request of its own, in a transaction of its own.
SET search_path = ats;
\o /dev/null
SELECT setseed(0.42);
\o

-- As the application would at the start of a request.
CREATE FUNCTION ats.act_as(person ats.app_user, on_behalf_of ats.app_user DEFAULT NULL) RETURNS void
LANGUAGE sql AS $$
  SELECT audit_log.set_context(jsonb_strip_nulls(jsonb_build_object(
    'organization', person.team_id,
    'actor', jsonb_build_object('type', CASE person.role WHEN 'support' THEN 'support' ELSE 'user' END,
                                'id', person.id, 'name', person.name, 'email', person.email),
    'effective_actor', CASE WHEN on_behalf_of.id IS NOT NULL THEN
      jsonb_build_object('type', 'user', 'id', on_behalf_of.id, 'name', on_behalf_of.name, 'email', on_behalf_of.email) END,
    'remote_addr', '203.0.113.' || person.id % 250 + 1,
    'access_route', jsonb_build_array('203.0.113.' || person.id % 250 + 1, '10.0.0.7'),
    'user_agent', 'Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0',
    'request_id', md5(random()::text)::uuid)))
$$;

CREATE FUNCTION ats.someone(team text, roles text[] DEFAULT '{admin,recruiter,interviewer}') RETURNS ats.app_user
LANGUAGE sql VOLATILE AS $$
  SELECT u FROM ats.app_user u WHERE u.team_id = team AND u.role = ANY (roles) ORDER BY random() LIMIT 1
$$;

-- Setting up: a system job, so no actor but `system`.
INSERT INTO team VALUES ('acme', 'Acme Corp'), ('globex', 'Globex');
INSERT INTO app_user (team_id, name, email, role)
SELECT t, f || ' ' || l, lower(f || '.' || l || '@' || t || '.example'),
       (ARRAY['admin', 'recruiter', 'recruiter', 'interviewer', 'interviewer', 'interviewer'])[1 + n % 6]
FROM unnest(ARRAY['acme', 'globex']) t,
     unnest(ARRAY['Ann', 'Bob', 'Carla', 'Dinesh', 'Eva', 'Farid', 'Grace', 'Hugo', 'Ines', 'Jun', 'Kofi', 'Lena'],
            ARRAY['Samuelson', 'Meyer', 'Rossi', 'Patel', 'Novak', 'Haddad', 'Kim', 'Silva', 'Costa', 'Tanaka', 'Mensah', 'Berg'])
     WITH ORDINALITY AS p(f, l, n);
INSERT INTO app_user (team_id, name, email, role) VALUES ('acme', 'Sam Support', 'sam@vendor.example', 'support');

DO $$
DECLARE
  me ats.app_user;
  job_row ats.job;
  team_of text;
  cand uuid;
  app int;
  book int;
  off int;
  dice float;
BEGIN
  FOR i IN 1 .. 40 LOOP
    team_of := CASE WHEN i % 3 = 0 THEN 'globex' ELSE 'acme' END;
    me := ats.someone(team_of, '{admin,recruiter}');
    PERFORM ats.act_as(me);
    INSERT INTO ats.job (team_id, title, department, headcount, salary, tags, owner_id)
    VALUES (team_of, (ARRAY['Cook', 'Data Engineer', 'Nurse', 'Account Executive', 'Designer'])[1 + i % 5] || ' ' || i,
            (ARRAY['Kitchen', 'Engineering', 'Care', 'Sales', 'Design'])[1 + i % 5], 1 + i % 4,
            int4range(40000 + 1000 * i, 60000 + 1500 * i), ARRAY['site:' || i % 7, 'remote'], me.id)
    RETURNING * INTO job_row;
    INSERT INTO ats.job_user_access VALUES (job_row.id, me.id, 'hiring_manager');
    INSERT INTO ats.job_post (job_id, headline) VALUES (job_row.id, 'We are hiring: ' || job_row.title);
    COMMIT;

    PERFORM ats.act_as(me);
    UPDATE ats.job SET status = 'open' WHERE id = job_row.id;
    UPDATE ats.job_post SET published = true WHERE job_id = job_row.id;
    COMMIT;

    FOR k IN 1 .. 12 LOOP
      -- Candidates apply by themselves, through the public API.
      PERFORM audit_log.set_context(jsonb_build_object('organization', team_of,
        'actor', jsonb_build_object('type', 'api_key', 'id', 'key-' || team_of, 'name', 'Careers site'),
        'remote_addr', '198.51.100.' || k, 'request_id', md5(random()::text)::uuid));
      INSERT INTO ats.candidate (team_id, name, email, phone, resume)
      VALUES (team_of, 'Candidate ' || i || '-' || k, 'c' || i || '.' || k || '@mail.example', '+1 555 ' || 1000 + i * 12 + k,
              jsonb_build_object('years', k, 'skills', jsonb_build_array('sql', 'rust')))
      RETURNING id INTO cand;
      INSERT INTO ats.application (team_id, job_id, candidate_id) VALUES (team_of, job_row.id, cand) RETURNING id INTO app;
      COMMIT;

      me := ats.someone(team_of);
      PERFORM ats.act_as(me);
      UPDATE ats.application SET stage = 'screen', score = round((random() * 10)::numeric, 2) WHERE team_id = team_of AND id = app;
      COMMIT;
      dice := random();
      IF dice < 0.5 THEN
        PERFORM ats.act_as(me);
        UPDATE ats.application SET status = 'rejected' WHERE team_id = team_of AND id = app;
        COMMIT;
        CONTINUE;
      END IF;
      PERFORM ats.act_as(me);
      INSERT INTO ats.booking (team_id, application_id, candidate_id, interviewer_id, starts_at)
      VALUES (team_of, app, cand, (ats.someone(team_of, '{interviewer}')).id, now() + k * interval '1 day') RETURNING id INTO book;
      COMMIT;
      IF dice < 0.6 THEN
        PERFORM ats.act_as(me);
        UPDATE ats.booking SET state = CASE WHEN dice < 0.55 THEN 'cancelled' ELSE 'no_show' END WHERE id = book;
        COMMIT;
        CONTINUE;
      END IF;
      me := ats.someone(team_of, '{interviewer}');
      PERFORM ats.act_as(me);
      PERFORM audit_log.record('recording_completed', 'room-' || book, targets => jsonb_build_array(
        jsonb_build_object('type', 'candidate', 'id', cand)), metadata => jsonb_build_object('seconds', 900 + 60 * k));
      INSERT INTO ats.evaluation (team_id, booking_id, rating, notes) VALUES (team_of, book, 1 + (random() * 4)::int, 'Solid answers.');
      COMMIT;
      IF dice > 0.8 THEN
        PERFORM ats.act_as(ats.someone(team_of, '{recruiter}'));
        UPDATE ats.evaluation SET approved = true WHERE booking_id = book;
        INSERT INTO ats.offer (team_id, application_id, job_id, salary) VALUES (team_of, app, job_row.id, 50000 + 1000 * k) RETURNING id INTO off;
        INSERT INTO ats.approval (team_id, offer_id, approver_id) VALUES (team_of, off, (ats.someone(team_of, '{admin}')).id);
        COMMIT;
        PERFORM ats.act_as(ats.someone(team_of, '{admin}'));
        UPDATE ats.approval SET decision = 'approved' WHERE offer_id = off;
        UPDATE ats.offer SET status = 'approved' WHERE id = off;
        COMMIT;
        PERFORM ats.act_as(ats.someone(team_of, '{recruiter}'));
        UPDATE ats.offer SET status = 'sent' WHERE id = off;
        COMMIT;
      END IF;
    END LOOP;

    IF i % 4 = 0 THEN
      PERFORM ats.act_as(ats.someone(team_of, '{admin}'));
      UPDATE ats.job SET status = 'closed' WHERE id = job_row.id;
      COMMIT;
    END IF;
    -- Nobody wants to read this in the log: last_seen_at is ignored.
    UPDATE ats.app_user SET last_seen_at = now() WHERE team_id = team_of;
    COMMIT;
  END LOOP;

  -- The vendor's support works on a customer's behalf: both are recorded.
  PERFORM ats.act_as(ats.someone('acme', '{support}'), (SELECT u FROM ats.app_user u WHERE u.email = 'ann.samuelson@acme.example'));
  UPDATE ats.job SET headcount = headcount + 1, confidential = true WHERE id = 1;
  UPDATE ats.app_user SET password_hash = md5('reset') WHERE email = 'bob.meyer@acme.example';
  COMMIT;

  PERFORM ats.act_as(ats.someone('acme', '{admin}'));
  INSERT INTO ats.api_key (team_id, label) VALUES ('acme', 'Warehouse sync');
  UPDATE ats.api_key SET enabled = false WHERE label = 'Warehouse sync';
  UPDATE ats.job_user_access SET access_level = 'viewer' WHERE job_id = 1;
  DELETE FROM ats.job_user_access WHERE job_id = 2;
  PERFORM audit_log.record('team_settings_changed', 'acme', metadata => '{"setting": "captcha_protection_level", "from": "low", "to": "high"}');
  COMMIT;

  -- A nightly job, without a request.
  PERFORM audit_log.set_context('{"actor": {"type": "automation", "id": "nightly-cleanup", "name": "Nightly cleanup"}}');
  UPDATE ats.team SET plan = 'enterprise';
  DELETE FROM ats.candidate c USING ats.application a
  WHERE a.candidate_id = c.id AND a.status = 'rejected' AND a.job_id <= 3;
  COMMIT;
END
$$;

-- Sign-ins of the last weeks, as another system recorded them.
SELECT count(*) AS imported, count(error) AS refused
FROM audit_log.import(ARRAY(
  SELECT jsonb_build_object('category', 'user_login_complete', 'organizationId', u.team_id,
    'occurredAt', to_char(now() - d * interval '1 day' - random() * interval '8 hours', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'actor', jsonb_build_object('type', 'user', 'id', u.id, 'name', u.name, 'email', u.email),
    'target', jsonb_build_object('type', 'user', 'id', u.id, 'name', u.name),
    'remoteAddr', '203.0.113.' || u.id)
  FROM ats.app_user u, generate_series(1, 20) d WHERE u.role <> 'support'));
