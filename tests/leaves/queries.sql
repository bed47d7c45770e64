-- Statements as DataJoint and people write them, one per block: a line "-- name: exact|replay", then the statement.
-- exact: only select, project and join, so the rules must give the lineage and nothing else.
-- replay: the slice must answer it like the source. mysql: as replay, and MariaDB does not know it. {S} is the schema.

-- fetch: exact
SELECT `subject`,`session`,`session_date`,`experimenter` FROM `{S}`.`session`
-- dict restriction: exact
SELECT `subject`,`session` FROM `{S}`.`session` WHERE ( (`subject`="a")AND(`session`=1))
-- string restriction: exact
SELECT `subject`,`session` FROM `{S}`.`session` WHERE ( (session_date > '2020-01-02'))
-- list restriction: exact
SELECT `subject` FROM `{S}`.`session` WHERE ( ( (`subject`="a")AND(`session`=2) OR (`subject`="b")))
-- chained: exact
SELECT `subject` FROM `{S}`.`session` WHERE ( (session=1))AND( (`subject`="b"))
-- null restriction: exact
SELECT `subject`,`session` FROM `{S}`.`session` WHERE ( (`experimenter` IS NULL))
-- false: exact
SELECT `subject` FROM `{S}`.`session` WHERE (False)
-- negated string: exact
SELECT `subject` FROM `{S}`.`subject` WHERE ( (NOT (`species`='mouse')))
-- restrict by query: exact
SELECT `subject`,`session` FROM `{S}`.`session` WHERE ((`subject`) in (SELECT `subject` FROM `{S}`.`subject` WHERE ( (`species`='mouse'))))
-- restrict by query with its key in two columns: exact
SELECT `subject` FROM `{S}`.`session` WHERE ((`subject`,`session`) in (SELECT `subject`,`session` FROM `{S}`.`trial` WHERE ( (rt > 0.5))))
-- nested queries: exact
SELECT `subject` FROM `{S}`.`subject` WHERE ((`subject`) in (SELECT `subject` FROM `{S}`.`session` WHERE ((`subject`,`session`) in (SELECT `subject`,`session` FROM `{S}`.`trial` WHERE ( (`choice`="left"))))))
-- list of queries: replay
SELECT `subject`,`session` FROM `{S}`.`session` WHERE ( ( (`subject`) in (SELECT `subject` FROM `{S}`.`subject` WHERE ( (`species`='rat'))) OR (`subject`,`session`) in (SELECT `subject`,`session` FROM `{S}`.`trial` WHERE ( (trial = 2)))))
-- restricted by a renaming: exact
SELECT `subject`,`s1`,`s2` FROM `{S}`.`pair` WHERE ((`subject`,`s1`) in (SELECT `subject`,`session` as `s1` FROM `{S}`.`session` WHERE ( (`experimenter`='eve'))))
-- natural join: exact
SELECT `subject`,`session`,`rt` FROM `{S}`.`session` NATURAL JOIN `{S}`.`trial` WHERE ( (`rt`>0.3))
-- join using: exact
SELECT `subject`,`session`,`species` FROM `{S}`.`subject` JOIN `{S}`.`session` USING (`subject`) WHERE ( (species='mouse'))
-- three tables: exact
SELECT `subject`,`session`,`trial`,`species` FROM (SELECT `subject`,`session`,`session_date`,`species` FROM `{S}`.`subject` JOIN `{S}`.`session` USING (`subject`)) as `$0` JOIN `{S}`.`trial` USING (`subject`,`session`) WHERE ( (`trial`<3))
-- join on: exact
SELECT s.subject, t.trial FROM `{S}`.session s INNER JOIN `{S}`.trial AS t ON s.subject = t.subject AND s.session = t.session WHERE t.rt BETWEEN 0.2 AND 0.8 AND s.experimenter LIKE 'e%'
-- comma join: exact
SELECT s.subject, p.kind FROM `{S}`.session s, `{S}`.probe p WHERE s.session = p.probe
-- cross join: exact
SELECT `subject`,`probe` FROM `{S}`.`subject` CROSS JOIN `{S}`.`probe` WHERE ( (`probe`=1))
-- bare join before a natural one: exact
SELECT subject, probe FROM `{S}`.probe, `{S}`.subject NATURAL JOIN `{S}`.session WHERE probe = 1
-- renaming: exact
SELECT `subject`,`sess` FROM (SELECT `subject`,`session` as `sess`,`experimenter` FROM `{S}`.`session`) as `$2` WHERE ( (sess=1))
-- self join over projections: replay
SELECT `subject`,`s1`,`s2` FROM (SELECT `subject`,`session` as `s1` FROM `{S}`.`session`) as `$3` NATURAL JOIN (SELECT `subject`,`session` as `s2` FROM `{S}`.`session`) as `$4` WHERE ( (s1<s2))
-- computed: exact
SELECT `subject`,`session`,`trial`,rt*2 as `rt2`,"txt" as `t` FROM `{S}`.`trial` WHERE ( (`choice`='right'))
-- computed and restricted: exact
SELECT `subject`,`session`,`trial`,`rt2` FROM (SELECT `subject`,`session`,`trial`,rt*2 as `rt2` FROM `{S}`.`trial`) as `$1` WHERE ( (rt2>1))
-- order and limit: replay
SELECT `subject`,`session`,`trial`,`rt` FROM `{S}`.`trial` ORDER BY `rt` DESC, `subject`,`session`,`trial` LIMIT 2 OFFSET 1
-- top restricted: replay
SELECT `subject`,`session` FROM (SELECT `subject`,`session`,`session_date` FROM `{S}`.`session` ORDER BY `session_date` DESC,`subject`,`session` LIMIT 3) as `$8` WHERE ( (`subject`='a'))
-- limit over a natural join: replay
SELECT `subject`,`session`,`s1`,`s2` FROM `{S}`.`session` NATURAL JOIN `{S}`.`pair` ORDER BY `subject`,`session`,`s1`,`s2` LIMIT 3 OFFSET 1
-- limit over an alias: replay
SELECT `subject`,`session`,`trial`,rt*-1 as `r` FROM `{S}`.`trial` ORDER BY `r`,`subject`,`session`,`trial` LIMIT 3
-- limit over a restriction by query: replay
SELECT `subject`,`session` FROM `{S}`.`session` WHERE ((`subject`,`session`) in (SELECT `subject`,`session` FROM `{S}`.`trial`)) ORDER BY `subject`,`session` LIMIT 2
-- distinct: replay
SELECT DISTINCT `species` FROM `{S}`.`subject`
-- distinct with limit: replay
SELECT DISTINCT `choice` FROM `{S}`.`trial` WHERE choice IS NOT NULL ORDER BY choice LIMIT 1
-- aggregation 0.14: replay
SELECT `subject`,`session`,count(*) as `n`,avg(rt) as `m` FROM `{S}`.`session` NATURAL JOIN `{S}`.`trial` GROUP BY `subject`,`session`
-- aggregation with having: replay
SELECT `subject`,`session`,count(*) as `n` FROM `{S}`.`session` NATURAL JOIN `{S}`.`trial` GROUP BY `subject`,`session` HAVING ( (n>1))
-- having below: replay
SELECT `subject`,`session`,count(*) as `n` FROM `{S}`.`session` NATURAL JOIN `{S}`.`trial` GROUP BY `subject`,`session` HAVING ( (n<3))
-- having on a key: replay
SELECT `subject`,`session`,max(rt) as `m` FROM `{S}`.`session` NATURAL JOIN `{S}`.`trial` GROUP BY `subject`,`session` HAVING ( (`subject`="a"))AND( (m<0.9))
-- aggregation 2.x: replay
SELECT `subject`,`session`,`session_date`,count(`trial`) as `n` FROM `{S}`.`session` LEFT JOIN `{S}`.`trial` USING (`subject`,`session`) GROUP BY `subject`,`session`
-- aggregation 2.x with having: replay
SELECT `subject`,`session`,count(`trial`) as `n` FROM `{S}`.`session` LEFT JOIN `{S}`.`trial` USING (`subject`,`session`) GROUP BY `subject`,`session` HAVING ( (n=0))
-- restricted aggregation: replay
SELECT `subject`,`session`,`n` FROM (SELECT `subject`,`session`,count(`trial`) as `n` FROM `{S}`.`session` LEFT JOIN `{S}`.`trial` USING (`subject`,`session`) GROUP BY `subject`,`session`) as `$1` WHERE ( (n<2))
-- aggregation joined: replay
SELECT `subject`,`session`,`n`,`species` FROM (SELECT `subject`,`session`,count(*) as `n` FROM `{S}`.`session` NATURAL JOIN `{S}`.`trial` GROUP BY `subject`,`session`) as `$1` NATURAL JOIN `{S}`.`subject` WHERE ( (`species`='mouse'))
-- restrict by aggregation: replay
SELECT `subject`,`session` FROM `{S}`.`session` WHERE ((`subject`,`session`) in (SELECT `subject`,`session` FROM (SELECT `subject`,`session`,count(*) as `n` FROM `{S}`.`session` NATURAL JOIN `{S}`.`trial` GROUP BY `subject`,`session`) as `$2` WHERE ( (n=2))))
-- order by an aggregate: replay
SELECT `subject`,count(*) as n FROM `{S}`.`trial` GROUP BY `subject` ORDER BY n, subject LIMIT 2
-- universal aggregation: replay
SELECT count(*) as `n`, avg(`rt`) as `m` FROM `{S}`.`trial` WHERE ( (`choice`='left'))
-- universal group: replay
SELECT `species`,count(*) as `n` FROM `{S}`.`subject` GROUP BY `species`
-- group by a string that its collation takes for others: replay
SELECT choice, COUNT(*) FROM `{S}`.trial WHERE choice IS NOT NULL GROUP BY choice HAVING COUNT(*) <> 3
-- group by an expression: replay
SELECT YEAR(session_date) y, COUNT(*) FROM `{S}`.session GROUP BY y HAVING COUNT(*) <> 2
-- antijoin: replay
SELECT `subject`,`session` FROM `{S}`.`session` WHERE ((`subject`,`session`) not in (SELECT `subject`,`session` FROM `{S}`.`trial`))
-- antijoin restricted: replay
SELECT `subject`,`session` FROM `{S}`.`session` WHERE ( (`subject`='b'))AND((`subject`,`session`) not in (SELECT `subject`,`session` FROM `{S}`.`trial` WHERE ( (rt>0.4))))
-- antijoin with a list: replay
SELECT `subject` FROM `{S}`.`subject` WHERE (NOT ( ((`subject`) in (SELECT `subject` FROM `{S}`.`session` WHERE ( (session=2))) OR (`species`='rat'))))
-- antijoin of an antijoin: replay
SELECT `subject` FROM `{S}`.`subject` WHERE ((`subject`) not in (SELECT `subject` FROM `{S}`.`session` WHERE ((`subject`,`session`) not in (SELECT `subject`,`session` FROM `{S}`.`trial`))))
-- restricted by an antijoin: replay
SELECT `subject` FROM `{S}`.`subject` WHERE ((`subject`) in (SELECT `subject` FROM `{S}`.`session` WHERE ((`subject`,`session`) not in (SELECT `subject`,`session` FROM `{S}`.`trial`))))
-- antijoin in a derived table: replay
SELECT `subject`,`sess`,`species` FROM (SELECT `subject`,`session` as `sess` FROM `{S}`.`session` WHERE ((`subject`,`session`) not in (SELECT `subject`,`session` FROM `{S}`.`trial`))) as `$1` NATURAL JOIN `{S}`.`subject` WHERE ( (sess=2))
-- antijoin over a nullable column: replay
SELECT `subject` FROM `{S}`.`session` WHERE experimenter NOT IN (SELECT experimenter FROM `{S}`.`session` WHERE subject = 'b')
-- two antijoins that stop the same rows: replay
SELECT `subject`,`session`,`trial` FROM `{S}`.`trial` WHERE (NOT ( ((`subject`,`session`) in (SELECT `subject`,`session` FROM `{S}`.`session`) OR (`subject`) in (SELECT `subject` FROM `{S}`.`pair`))))
-- antijoin of an antijoin over a nullable column: replay
SELECT `subject`,`species` FROM `{S}`.`subject` WHERE ((`subject`,`species`) not in (SELECT `subject`,`species` FROM `{S}`.`subject` WHERE ((`subject`) not in (SELECT `subject` FROM `{S}`.`session`))))
-- left join inside a condition: replay
SELECT `subject`,`session`,`trial` FROM `{S}`.`trial` WHERE ((`subject`,`session`,`trial`) in (SELECT `subject`,`session`,`trial` FROM `{S}`.`pair` LEFT JOIN `{S}`.`trial` USING (`subject`)))
-- antijoin in having: replay
SELECT `subject`,count(*) as `n` FROM `{S}`.`trial` GROUP BY `subject` HAVING ((`subject`) not in (SELECT `subject` FROM `{S}`.`pair`))
-- antijoin with an aggregate: replay
SELECT `subject`,`session`,count(`trial`) as `n` FROM `{S}`.`session` LEFT JOIN `{S}`.`trial` USING (`subject`,`session`) WHERE ((`subject`) not in (SELECT `subject` FROM `{S}`.`pair`)) GROUP BY `subject`,`session` HAVING ( (n<2))
-- left join: replay
SELECT `subject`,`session`,`trial`,`rt` FROM `{S}`.`session` LEFT JOIN `{S}`.`trial` USING (`subject`,`session`)
-- left join restricted on the left: replay
SELECT `subject`,`session`,`trial`,`rt` FROM `{S}`.`session` NATURAL LEFT JOIN `{S}`.`trial` WHERE ( (`session`=1))
-- left join tested for a value: replay
SELECT `subject`,`session`,`trial`,`rt` FROM `{S}`.`session` LEFT JOIN `{S}`.`trial` USING (`subject`,`session`) WHERE ( (rt<0.5))
-- left join tested for null: replay
SELECT s.`subject`,s.`session` FROM `{S}`.`session` s LEFT JOIN `{S}`.`trial` t ON t.`subject`=s.`subject` AND t.`session`=s.`session` WHERE t.trial IS NULL
-- left join tested with coalesce: replay
SELECT `subject`,`session`,COALESCE(rt,0) r FROM `{S}`.`session` LEFT JOIN `{S}`.`trial` USING (`subject`,`session`) WHERE COALESCE(rt, 0) < 0.3 AND `session`=2
-- left join in a derived table: replay
SELECT `subject`,`session`,`r` FROM (SELECT `subject`,`session`,IFNULL(rt,-1) as r FROM `{S}`.`session` LEFT JOIN `{S}`.`trial` USING (`subject`,`session`)) as `$1` WHERE ( (r<0))
-- right join: replay
SELECT t.subject, t.trial, s.experimenter FROM `{S}`.trial t RIGHT JOIN `{S}`.session s USING (subject, session) WHERE s.session = 1
-- union: replay
SELECT * FROM ((SELECT `subject`,`session` FROM `{S}`.`session` WHERE ( (`subject`='a'))) UNION (SELECT `subject`,`session` FROM `{S}`.`trial` WHERE ( (`trial`=2)))) as `_u0`
-- union with secondary attributes: replay
(SELECT `subject`,`session`,`session_date`,`rt` FROM `{S}`.`session` LEFT JOIN (SELECT `subject`,`session`,max(rt) as `rt` FROM `{S}`.`trial` GROUP BY `subject`,`session`) as `$1` USING (`subject`,`session`))  UNION (SELECT `subject`,`session`,NULL as `session_date`,`rt` FROM `{S}`.`trial` WHERE ((`subject`,`session`) not in (SELECT `subject`,`session` FROM `{S}`.`session`)))
-- union with limit: replay
SELECT subject, session FROM `{S}`.session WHERE session = 1 UNION SELECT subject, s2 FROM `{S}`.pair ORDER BY subject, session LIMIT 3
-- union restricted: replay
SELECT `subject` FROM ((SELECT `subject`,`session` FROM `{S}`.`session`) UNION ALL (SELECT `subject`,`s1` FROM `{S}`.`pair`)) as `_u0` WHERE ( (`session`=1))
-- exists: replay
SELECT EXISTS(SELECT 1 FROM `{S}`.`session` WHERE ( (`subject`="a")AND(`session`=1)))
-- exists over a join: replay
SELECT EXISTS(SELECT 1 FROM `{S}`.`session` NATURAL JOIN `{S}`.`trial` WHERE ( (`rt`>0.5)))
-- exists that is false: replay
SELECT EXISTS(SELECT 1 FROM `{S}`.`session` WHERE ( (`subject`="nobody")))
-- exists of an antijoin: replay
SELECT EXISTS(SELECT 1 FROM `{S}`.`session` WHERE ((`subject`,`session`) not in (SELECT `subject`,`session` FROM `{S}`.`trial`)))
-- exists of an antijoin that is false: replay
SELECT EXISTS(SELECT 1 FROM `{S}`.`pair` WHERE ((`subject`) not in (SELECT `subject` FROM `{S}`.`subject`)))
-- exists after an offset: replay
SELECT EXISTS(SELECT 1 FROM `{S}`.`subject` WHERE ((`subject`) in (SELECT `subject` FROM `{S}`.`trial`)) ORDER BY `subject` LIMIT 2 OFFSET 1)
-- exists over a limit with an offset: replay
SELECT EXISTS(SELECT 1 FROM `{S}`.`trial` WHERE ( (`session`=1))AND((`subject`) in (SELECT `subject` FROM (SELECT `subject`,`s1` FROM `{S}`.`pair` ORDER BY `subject`,`s1` LIMIT 1 OFFSET 1) as `$1`)))
-- exists of an aggregation: replay
SELECT EXISTS(SELECT `subject`,count(*) as `n` FROM `{S}`.`trial` GROUP BY `subject` HAVING ( (n>2)))
-- exists of a list: replay
SELECT EXISTS(SELECT 1 FROM `{S}`.`session` WHERE ( ( (`subject`) in (SELECT `subject` FROM `{S}`.`pair`) OR (`subject`,`session`) in (SELECT `subject`,`session` FROM `{S}`.`trial` WHERE ( (trial=2))))))
-- exists in a condition: replay
SELECT `subject` FROM `{S}`.`subject` WHERE species='mouse' AND EXISTS(SELECT 1 FROM `{S}`.`probe` WHERE probe = 2)
-- scalar subquery: replay
SELECT `subject`,`session`,`trial` FROM `{S}`.`trial` WHERE rt > (SELECT avg(rt) FROM `{S}`.`trial` WHERE choice='left')
-- subquery in the select list: replay
SELECT `subject`, (SELECT max(session) FROM `{S}`.`session`) AS last FROM `{S}`.`subject` WHERE species='rat'
-- greater than all: replay
SELECT `subject`,`session` FROM `{S}`.`session` WHERE session >= ALL (SELECT session FROM `{S}`.`session` WHERE subject='b')
-- common table expression: exact
WITH mice AS (SELECT subject FROM `{S}`.subject WHERE species = 'mouse') SELECT s.subject, s.session FROM `{S}`.session s JOIN mice ON mice.subject = s.subject
-- view: exact
SELECT subject, trial FROM `{S}`.fast WHERE trial = 1
-- view over a join: exact
SELECT trial, who FROM `{S}`.named WHERE who = 'eve'
-- view over a view: exact
SELECT subject, session FROM `{S}`.old WHERE trial = 1
-- view in a condition: exact
SELECT subject FROM `{S}`.subject WHERE subject IN (SELECT subject FROM `{S}`.named WHERE trial = 2)
-- parenthesised join: exact
SELECT s.subject, p.kind FROM (`{S}`.session s JOIN `{S}`.trial t ON t.subject = s.subject AND t.session = s.session) JOIN `{S}`.probe p ON p.probe = t.trial WHERE s.session = 2
-- count taken as data: replay
SELECT count(DISTINCT `subject`,`session`) FROM `{S}`.`trial` WHERE ( (`choice`="left"))
-- count of a derived table: replay
SELECT count(*) FROM (SELECT DISTINCT `subject`,`session` FROM `{S}`.`trial`) AS distinct_count
-- insert from a query: replay
INSERT INTO `{S}`.`pair` (`subject`,`s1`,`s2`) SELECT `subject`,`s1`,`s2` FROM (SELECT `subject`,`session` as `s1` FROM `{S}`.`session`) as `$9` NATURAL JOIN (SELECT `subject`,`session` as `s2` FROM `{S}`.`session` WHERE session > 1) as `$10` ON DUPLICATE KEY UPDATE `subject`=`{S}`.`pair`.`subject`
-- json value: mysql
SELECT `probe` FROM `{S}`.`probe` WHERE ( (json_value(`meta`, _utf8mb4'$.a.b' returning unsigned)=3))
-- regular expression: exact
SELECT `subject` FROM `{S}`.`subject` WHERE species REGEXP '^m'
-- populate keys: replay
SELECT `subject`,`session` FROM `{S}`.`session` WHERE ((`subject`,`session`) not in (SELECT `subject`,`session` FROM `{S}`.`trial`)) AND ((`subject`,`session`) not in (SELECT `subject`,`session` FROM `{S}`.`~~trial`))
-- correlated exists: replay
SELECT subject, session FROM `{S}`.session s WHERE EXISTS (SELECT 1 FROM `{S}`.trial t WHERE t.subject = s.subject AND t.session = s.session AND t.rt > 0.3)
-- correlated not exists: replay
SELECT subject, session FROM `{S}`.session s WHERE NOT EXISTS (SELECT * FROM `{S}`.trial t WHERE t.subject = s.subject AND t.session = s.session)
-- correlated not exists inside not exists: replay
SELECT subject FROM `{S}`.subject u WHERE NOT EXISTS (SELECT 1 FROM `{S}`.session s WHERE s.subject = u.subject AND NOT EXISTS (SELECT 1 FROM `{S}`.trial t WHERE t.subject = u.subject AND t.session = s.session))
-- correlated in: replay
SELECT subject, session FROM `{S}`.session s WHERE session IN (SELECT t.session FROM `{S}`.trial t WHERE t.subject = s.subject AND t.rt < 0.5)
-- correlated not in: replay
SELECT subject, session FROM `{S}`.session s WHERE session NOT IN (SELECT t.session FROM `{S}`.trial t WHERE t.subject = s.subject AND t.rt < 0.5)
-- correlated not in over a nullable column: replay
SELECT subject FROM `{S}`.subject u WHERE species NOT IN (SELECT s.experimenter FROM `{S}`.session s WHERE s.subject <> u.subject AND s.session = 2)
-- correlated value: replay
SELECT subject, session, trial FROM `{S}`.trial t WHERE rt >= (SELECT MAX(x.rt) FROM `{S}`.trial x WHERE x.subject = t.subject)
-- correlated value in the select list: replay
SELECT s.subject, s.session, (SELECT COUNT(*) FROM `{S}`.trial t WHERE t.subject = s.subject AND t.session = s.session) AS n FROM `{S}`.session s WHERE s.session = 1
-- correlated value with a limit: replay
SELECT s.subject, (SELECT t.choice FROM `{S}`.trial t WHERE t.subject = s.subject ORDER BY t.rt DESC, t.session, t.trial LIMIT 1) AS best FROM `{S}`.subject s ORDER BY s.subject
-- correlated value in order by: replay
SELECT s.subject FROM `{S}`.subject s ORDER BY (SELECT COUNT(*) FROM `{S}`.trial t WHERE t.subject = s.subject) DESC, s.subject LIMIT 2
-- correlated under or: replay
SELECT subject FROM `{S}`.subject s WHERE species = 'rat' OR NOT EXISTS (SELECT 1 FROM `{S}`.trial t WHERE t.subject = s.subject)
-- correlated under case: replay
SELECT subject, CASE WHEN EXISTS (SELECT 1 FROM `{S}`.pair p WHERE p.subject = s.subject) THEN 'yes' ELSE 'no' END AS paired FROM `{S}`.subject s
-- correlated with a union inside: replay
SELECT subject FROM `{S}`.subject s WHERE EXISTS (SELECT 1 FROM `{S}`.pair p WHERE p.subject = s.subject UNION SELECT 1 FROM `{S}`.trial t WHERE t.subject = s.subject AND t.trial = 3)
-- correlated group: replay
SELECT subject FROM `{S}`.subject s WHERE EXISTS (SELECT t.session FROM `{S}`.trial t WHERE t.subject = s.subject GROUP BY t.session HAVING COUNT(*) > 1)
-- correlated in having: replay
SELECT t.subject, COUNT(*) AS n FROM `{S}`.trial t GROUP BY t.subject HAVING COUNT(*) > (SELECT COUNT(*) FROM `{S}`.session s WHERE s.subject = t.subject)
-- correlated in having with an aggregate inside: replay
SELECT t.subject, MAX(t.session) AS last FROM `{S}`.trial t GROUP BY t.subject HAVING EXISTS (SELECT 1 FROM `{S}`.session s WHERE s.session > MAX(t.session))
-- correlated in on: replay
SELECT s.subject, t.trial FROM `{S}`.session s JOIN `{S}`.trial t ON t.subject = s.subject AND t.session = s.session AND t.rt > (SELECT AVG(x.rt) FROM `{S}`.trial x WHERE x.subject = s.subject)
-- correlated in the on of an outer join: replay
SELECT s.subject, s.session, t.trial FROM `{S}`.session s LEFT JOIN `{S}`.trial t ON t.subject = s.subject AND t.session = s.session AND NOT EXISTS (SELECT 1 FROM `{S}`.trial x WHERE x.subject = t.subject AND x.rt > t.rt)
-- correlated over a join: replay
SELECT s.subject, s.session FROM `{S}`.session s WHERE NOT EXISTS (SELECT 1 FROM `{S}`.trial t NATURAL JOIN `{S}`.pair p WHERE t.subject = s.subject AND p.s1 = s.session)
-- correlated over a derived table: replay
SELECT s.subject FROM `{S}`.subject s WHERE EXISTS (SELECT 1 FROM (SELECT subject, COUNT(*) AS n FROM `{S}`.trial GROUP BY subject) c WHERE c.subject = s.subject AND c.n > 1)
-- correlated inside a derived table: replay
SELECT d.subject FROM (SELECT s.subject, s.session FROM `{S}`.session s WHERE NOT EXISTS (SELECT 1 FROM `{S}`.trial t WHERE t.subject = s.subject AND t.session = s.session)) d JOIN `{S}`.subject u ON u.subject = d.subject WHERE u.species = 'mouse'
-- correlated with any: replay
SELECT subject, session, trial FROM `{S}`.trial t WHERE rt < ANY (SELECT x.rt FROM `{S}`.trial x WHERE x.subject = t.subject)
-- correlated with all: replay
SELECT subject, session, trial FROM `{S}`.trial t WHERE rt >= ALL (SELECT x.rt FROM `{S}`.trial x WHERE x.subject = t.subject AND x.rt IS NOT NULL)
-- equal to any, differs from all: replay
SELECT subject FROM `{S}`.subject WHERE subject = ANY (SELECT subject FROM `{S}`.trial) AND subject <> ALL (SELECT subject FROM `{S}`.pair WHERE s1 = 2)
-- correlated left join inside: replay
SELECT u.subject FROM `{S}`.subject u WHERE EXISTS (SELECT 1 FROM `{S}`.session s LEFT JOIN `{S}`.trial t USING (subject, session) WHERE s.subject = u.subject AND t.trial IS NULL)
-- two correlated conditions: replay
SELECT subject, session FROM `{S}`.session s WHERE NOT EXISTS (SELECT 1 FROM `{S}`.pair p WHERE p.subject = s.subject) AND NOT EXISTS (SELECT 1 FROM `{S}`.trial t WHERE t.subject = s.subject AND t.session = s.session)
-- condition on a correlated value of a derived table: replay
SELECT d.subject, d.n FROM (SELECT s.subject, (SELECT COUNT(*) FROM `{S}`.trial t WHERE t.subject = s.subject) AS n FROM `{S}`.subject s) d WHERE d.n < 3
-- anti-join of an aggregate: replay
SELECT subject FROM `{S}`.subject WHERE subject NOT IN (SELECT subject FROM `{S}`.trial GROUP BY subject HAVING COUNT(*) > 2)
-- right join tested for null: replay
SELECT s.subject, s.session FROM `{S}`.trial t RIGHT JOIN `{S}`.session s ON t.subject = s.subject AND t.session = s.session WHERE t.trial IS NULL
-- chain of left joins tested at its end: replay
SELECT u.subject, s.session FROM `{S}`.subject u LEFT JOIN `{S}`.session s ON s.subject = u.subject LEFT JOIN `{S}`.trial t ON t.subject = s.subject AND t.session = s.session WHERE t.trial IS NULL
-- left join of a parenthesised join: replay
SELECT u.subject, s.session, t.trial FROM `{S}`.subject u LEFT JOIN (`{S}`.session s JOIN `{S}`.trial t ON t.subject = s.subject AND t.session = s.session) ON s.subject = u.subject WHERE t.rt IS NULL OR t.rt > 0.5
-- left join inside parentheses: replay
SELECT u.subject, s.session FROM `{S}`.subject u JOIN (`{S}`.session s LEFT JOIN `{S}`.trial t ON t.subject = s.subject AND t.session = s.session) ON s.subject = u.subject WHERE t.trial IS NULL
-- window: replay
SELECT subject, session, trial, ROW_NUMBER() OVER (PARTITION BY subject ORDER BY rt, session, trial) AS r FROM `{S}`.trial WHERE session = 1
-- first of each partition: replay
SELECT * FROM (SELECT subject, session, trial, ROW_NUMBER() OVER (PARTITION BY subject ORDER BY rt DESC, session, trial) AS r FROM `{S}`.trial) w WHERE r = 1
-- running total: replay
SELECT subject, trial, SUM(trial) OVER (ORDER BY subject, session, trial) AS s FROM `{S}`.trial ORDER BY s DESC LIMIT 3
-- named window: replay
SELECT subject, session, COUNT(*) OVER w AS n FROM `{S}`.session WINDOW w AS (PARTITION BY experimenter)
-- window over groups: replay
SELECT subject, COUNT(*) AS n, RANK() OVER (ORDER BY COUNT(*) DESC) AS r FROM `{S}`.trial GROUP BY subject
-- window with a condition by query: replay
SELECT subject, session, COUNT(*) OVER (PARTITION BY subject) AS n FROM `{S}`.session WHERE (subject, session) IN (SELECT subject, session FROM `{S}`.trial)
-- window compared outside: replay
SELECT subject, session FROM (SELECT subject, session, LAG(session_date) OVER (PARTITION BY subject ORDER BY session) AS before_date FROM `{S}`.session) w WHERE before_date IS NULL AND session = 2
-- rollup: replay
SELECT subject, session, COUNT(*) AS n FROM `{S}`.trial GROUP BY subject, session WITH ROLLUP
-- rollup in a derived table: replay
SELECT subject, n FROM (SELECT subject, COUNT(*) AS n FROM `{S}`.trial WHERE rt IS NOT NULL GROUP BY subject WITH ROLLUP) r WHERE n > 2
-- recursion over numbers: replay
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT s.subject, n.i FROM n JOIN `{S}`.session s ON s.session = n.i WHERE s.subject = 'a'
-- recursion over rows: replay
WITH RECURSIVE chain (subject, session) AS (SELECT subject, s1 FROM `{S}`.pair UNION SELECT s.subject, s.session FROM chain c JOIN `{S}`.session s ON s.subject = c.subject AND s.session = c.session + 1) SELECT * FROM chain
-- cte with a column list: replay
WITH c (who, n) AS (SELECT subject, COUNT(*) FROM `{S}`.trial GROUP BY subject) SELECT who FROM c WHERE n > 1
-- cte used twice: replay
WITH c AS (SELECT subject, session FROM `{S}`.session WHERE session = 1), d AS (SELECT subject FROM c WHERE subject <> 'a') SELECT c.subject, d.subject AS other FROM c JOIN d ON c.subject <> d.subject
-- nested cte: replay
WITH a AS (SELECT subject FROM `{S}`.subject) SELECT * FROM a JOIN (WITH b AS (SELECT s.subject, s.session FROM `{S}`.session s) SELECT * FROM b WHERE session = 2) q USING (subject)
-- except: replay
SELECT subject, session FROM `{S}`.session EXCEPT SELECT subject, session FROM `{S}`.trial
-- intersect: replay
SELECT subject, session FROM `{S}`.session INTERSECT SELECT subject, session FROM `{S}`.trial
-- except of nulls: replay
SELECT experimenter FROM `{S}`.session WHERE session < 3 EXCEPT SELECT species FROM `{S}`.subject
-- except and union: replay
SELECT subject FROM `{S}`.subject EXCEPT SELECT subject FROM `{S}`.pair UNION SELECT subject FROM `{S}`.session WHERE session = 3
-- except in a derived table: replay
SELECT e.subject, u.species FROM (SELECT subject FROM `{S}`.session EXCEPT SELECT subject FROM `{S}`.trial) e JOIN `{S}`.subject u ON u.subject = e.subject
-- except all: replay
SELECT session FROM `{S}`.session EXCEPT ALL SELECT session FROM `{S}`.trial
-- intersect all in a derived table: replay
SELECT COUNT(*) AS n FROM (SELECT session FROM `{S}`.session INTERSECT ALL SELECT trial FROM `{S}`.trial) q WHERE session = 1
-- json table: replay
SELECT p.probe, j.v FROM `{S}`.probe p JOIN JSON_TABLE(p.meta, '$.a' COLUMNS (v INT PATH '$.b')) AS j WHERE j.v > 3
-- lateral: mysql
SELECT s.subject, l.trial FROM `{S}`.session s JOIN LATERAL (SELECT t.trial FROM `{S}`.trial t WHERE t.subject = s.subject AND t.session = s.session AND t.rt > 0.3) l
-- lateral with a limit: mysql
SELECT s.subject, s.session, l.trial FROM `{S}`.session s JOIN LATERAL (SELECT t.trial FROM `{S}`.trial t WHERE t.subject = s.subject AND t.session = s.session ORDER BY t.rt DESC, t.trial LIMIT 1) l
-- lateral with an aggregate: mysql
SELECT s.subject, l.n FROM `{S}`.subject s LEFT JOIN LATERAL (SELECT COUNT(*) AS n FROM `{S}`.trial t WHERE t.subject = s.subject) l ON TRUE WHERE l.n > 1
-- values: mysql
SELECT s.subject, v.b FROM `{S}`.session s JOIN (VALUES ROW(1, 'x'), ROW(3, 'y')) AS v (a, b) ON v.a = s.session
-- for update: replay
SELECT subject FROM `{S}`.subject WHERE species = 'rat' FOR UPDATE
-- condition on a correlated value two levels up: replay
SELECT e.subject FROM (SELECT d.subject, d.n + 1 AS m FROM (SELECT s.subject, (SELECT COUNT(*) FROM `{S}`.trial t WHERE t.subject = s.subject) AS n FROM `{S}`.subject s) d) e WHERE e.m <> 3
-- outer join whose correlated on is tested: replay
SELECT s.subject, s.session FROM `{S}`.session s LEFT JOIN `{S}`.trial t ON t.subject = s.subject AND NOT EXISTS (SELECT 1 FROM `{S}`.pair p WHERE p.subject = t.subject AND p.s1 = t.session) WHERE t.trial IS NULL
-- condition that looks two blocks out: replay
SELECT u.subject FROM `{S}`.subject u WHERE NOT EXISTS (SELECT 1 FROM `{S}`.session s WHERE s.subject = u.subject AND NOT EXISTS (SELECT 1 FROM `{S}`.trial t WHERE t.subject = u.subject AND t.session = s.session AND t.rt > 0.3) AND s.session NOT IN (SELECT p.s2 FROM `{S}`.pair p WHERE p.subject = u.subject AND p.s1 < s.session))
-- except of unnamed columns: replay
SELECT subject, session + 1 FROM `{S}`.session EXCEPT SELECT subject, s1 * 2 FROM `{S}`.pair
-- not in a list of expressions: replay
SELECT subject, session FROM `{S}`.session WHERE session NOT IN (SELECT s1 + 1 FROM `{S}`.pair)
-- outer join whose on looks outwards: replay
SELECT u.subject FROM `{S}`.subject u WHERE EXISTS (SELECT 1 FROM `{S}`.session s LEFT OUTER JOIN `{S}`.trial t ON t.session = s.session AND t.subject = u.subject WHERE t.trial IS NULL AND s.subject = 'a')
-- lateral with a limit that is tested: mysql
SELECT s.subject, l.rt FROM `{S}`.session s JOIN LATERAL (SELECT t.rt FROM `{S}`.trial t WHERE t.subject = s.subject ORDER BY t.rt DESC, t.session, t.trial LIMIT 1) l WHERE l.rt < 0.8
-- lateral with an aggregate that is tested: mysql
SELECT s.subject, l.n FROM `{S}`.subject s LEFT JOIN LATERAL (SELECT COUNT(*) AS n FROM `{S}`.trial t WHERE t.subject = s.subject) l ON l.n < 3 WHERE s.species = 'mouse'
-- lateral after lateral: mysql
SELECT s.subject, m.c FROM `{S}`.subject s JOIN LATERAL (SELECT MAX(t.rt) AS r FROM `{S}`.trial t WHERE t.subject = s.subject) l JOIN LATERAL (SELECT COUNT(*) AS c FROM `{S}`.trial x WHERE x.rt < l.r) m WHERE m.c <> 2
-- lateral with a column list: mysql
SELECT s.subject, l.b FROM `{S}`.session s JOIN LATERAL (SELECT t.trial, t.rt FROM `{S}`.trial t WHERE t.subject = s.subject AND t.session = s.session) l (a, b) WHERE l.a = 1
-- except inside a correlated subquery: replay
SELECT subject FROM `{S}`.subject u WHERE EXISTS (SELECT s.session FROM `{S}`.session s WHERE s.subject = u.subject EXCEPT SELECT t.session FROM `{S}`.trial t WHERE t.subject = u.subject)
-- star over a natural right join: replay
SELECT * FROM (SELECT * FROM `{S}`.trial NATURAL RIGHT JOIN `{S}`.session) q WHERE q.session = 1 AND q.trial IS NULL
-- having on a column that two tables have: replay
SELECT t.subject, t.session FROM `{S}`.trial t JOIN `{S}`.session s ON s.subject = t.subject AND s.session = t.session HAVING session <> 2
-- distinct star with a limit: replay
SELECT DISTINCT * FROM `{S}`.pair ORDER BY subject LIMIT 2
-- order by a position of a star: replay
SELECT * FROM `{S}`.session ORDER BY 2, 1 LIMIT 3
-- comma inside parentheses: exact
SELECT s.subject, p.kind, t.trial FROM (`{S}`.session s, `{S}`.probe p) JOIN `{S}`.trial t USING (subject, session) WHERE p.probe = t.trial
-- exists of a rollup: replay
SELECT p.subject FROM `{S}`.pair p WHERE EXISTS (SELECT t.choice FROM `{S}`.trial t GROUP BY t.choice, t.session WITH ROLLUP)
-- left outer join spelled out: replay
SELECT s.subject FROM `{S}`.session s LEFT OUTER JOIN `{S}`.trial t USING (subject, session) WHERE t.rt IS NULL
-- having on a correlated value of the select list: replay
SELECT s.subject, (SELECT COUNT(*) FROM `{S}`.trial t WHERE t.subject = s.subject) AS n FROM `{S}`.subject s HAVING n < 3
-- having on a correlated value of a group: replay
SELECT t.subject, MIN(t.session) AS m, (SELECT COUNT(*) FROM `{S}`.pair p WHERE p.subject = t.subject) AS n FROM `{S}`.trial t GROUP BY t.subject HAVING n = 0
-- value before not exists: replay
SELECT subject FROM `{S}`.subject s WHERE NOT EXISTS (SELECT 1 FROM `{S}`.pair p WHERE p.subject = s.subject) AND weight < (SELECT AVG(weight) FROM `{S}`.subject)
-- lateral group with a column list: mysql
SELECT s.subject, l.n FROM `{S}`.subject s JOIN LATERAL (SELECT t.session AS z, COUNT(*) AS m FROM `{S}`.trial t WHERE t.subject = s.subject GROUP BY t.session HAVING m < 3 ORDER BY z LIMIT 2) l (c, n) WHERE l.n <> 2
-- intersect all with names of its own: replay
SELECT q.a FROM (SELECT session AS a FROM `{S}`.session INTERSECT ALL SELECT trial FROM `{S}`.trial) q WHERE q.a > 1
-- not in over the optional side: replay
SELECT u.subject, s.session FROM `{S}`.subject u LEFT JOIN `{S}`.session s ON s.subject = u.subject WHERE (s.subject, s.session) NOT IN (SELECT subject, session FROM `{S}`.trial WHERE rt > 0.3)
-- aggregation 2.x of an antijoin: replay
SELECT `subject`,count(`session`) as `n` FROM `{S}`.`subject` LEFT JOIN `{S}`.`session` USING (`subject`) WHERE ((`subject`,`session`) not in (SELECT `subject`,`session` FROM `{S}`.`trial` WHERE ( (`choice`='left')))) GROUP BY `subject`
-- exists over the optional side: replay
SELECT u.subject, s.session FROM `{S}`.subject u LEFT JOIN `{S}`.session s ON s.subject = u.subject WHERE NOT EXISTS (SELECT 1 FROM `{S}`.trial t WHERE t.session = s.session AND t.choice = 'left')
-- query or aggregate in having: replay
SELECT subject, session, sum(session) AS x2 FROM `{S}`.session GROUP BY subject, session HAVING x2 > 2 OR subject IN (SELECT subject FROM `{S}`.pair)
-- query and aggregate under not in having: replay
SELECT subject, COUNT(*) AS n FROM `{S}`.trial GROUP BY subject HAVING NOT (n > 2 AND subject IN (SELECT subject FROM `{S}`.pair))
-- value over the optional side: replay
SELECT u.subject, s.session FROM `{S}`.subject u LEFT JOIN `{S}`.session s ON s.subject = u.subject WHERE (SELECT COUNT(*) FROM `{S}`.trial t WHERE t.subject = s.subject AND t.session = s.session) < 2
-- order by an alias that a column has too: replay
SELECT subject, COUNT(*) AS trial FROM `{S}`.trial GROUP BY subject ORDER BY trial, subject LIMIT 1
-- order by an optional alias that a column has too: replay
SELECT s.subject, t.rt AS weight FROM `{S}`.subject s LEFT JOIN `{S}`.trial t ON t.subject = s.subject ORDER BY weight, s.subject, t.session, t.trial LIMIT 3
-- having on an alias that a column has too: replay
SELECT subject, COUNT(*) AS trial FROM `{S}`.trial GROUP BY subject HAVING trial = 1
-- where on a column that an alias has too: replay
SELECT subject, COUNT(*) AS m FROM (SELECT subject, MIN(trial) AS m FROM `{S}`.trial GROUP BY subject) d WHERE m > 1 GROUP BY subject
-- having on what is grouped by and an alias: replay
SELECT LENGTH(subject) AS subject, COUNT(*) AS c FROM `{S}`.trial GROUP BY subject HAVING subject = 'a'
-- maximum of a minimum: replay
SELECT subject FROM (SELECT subject, session, MIN(trial) AS m FROM `{S}`.trial GROUP BY subject, session) d GROUP BY subject HAVING MAX(m) > 1
-- maximum of strings: replay
SELECT species FROM `{S}`.subject GROUP BY species HAVING MAX(subject) > 'a'
-- optional value behind an alias: replay
SELECT s.subject, COALESCE(t.rt, (SELECT 5)) AS r FROM `{S}`.subject s LEFT JOIN `{S}`.trial t ON t.subject = s.subject HAVING r > 2
-- not in rows with nulls: replay
SELECT subject, session FROM `{S}`.session WHERE (subject, experimenter) NOT IN (SELECT t.subject, t.choice FROM `{S}`.trial t)
-- rows with nulls not in: replay
SELECT x.subject, x.trial FROM `{S}`.trial x WHERE (x.subject, x.rt) NOT IN (SELECT s.subject, 99 FROM `{S}`.session s)
-- exists over a union with an offset: replay
SELECT s.subject FROM `{S}`.subject s WHERE NOT EXISTS (SELECT t.trial FROM `{S}`.trial t WHERE t.subject = s.subject UNION SELECT x.session FROM `{S}`.session x WHERE x.subject = s.subject LIMIT 1 OFFSET 1)
-- count of groups by a count: replay
SELECT d.c, COUNT(*) AS n FROM (SELECT subject, COUNT(*) AS c FROM `{S}`.trial GROUP BY subject) d GROUP BY d.c HAVING n > 1
-- value joined naturally: replay
SELECT p.probe, d.subject FROM `{S}`.probe p NATURAL JOIN (SELECT s.subject, (SELECT COUNT(*) FROM `{S}`.trial t WHERE t.subject = s.subject) AS probe FROM `{S}`.subject s) d
-- in a list of values: replay
SELECT p.probe FROM `{S}`.probe p WHERE p.probe IN (SELECT (SELECT COUNT(*) FROM `{S}`.trial t WHERE t.subject = s.subject) FROM `{S}`.subject s)
-- rows of a table function are judged one by one: replay
SELECT j.v FROM JSON_TABLE('[1, 2, 3]', '$[*]' COLUMNS (v INT PATH '$')) AS j WHERE NOT EXISTS (SELECT 1 FROM `{S}`.session s WHERE s.session = j.v)
-- rows of no table are judged one by one: replay
SELECT d.v FROM (SELECT 1 AS v UNION SELECT 2 UNION SELECT 9) d WHERE d.v IN (SELECT t.trial FROM `{S}`.trial t WHERE t.session = d.v) OR d.v NOT IN (SELECT s.session FROM `{S}`.session s)
-- judged beside an aggregate over no rows: replay
SELECT COUNT(*) AS n, EXISTS (SELECT 1 FROM `{S}`.probe p WHERE p.probe = 2) AS e FROM `{S}`.trial WHERE rt > 100
-- rollup over no rows: replay
SELECT q.species, q.n FROM (SELECT species, COUNT(*) AS n FROM `{S}`.subject WHERE weight > 100 GROUP BY species WITH ROLLUP) q
-- recursion beside a right join and exists: replay
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT n.i, s.subject FROM `{S}`.session s RIGHT JOIN n ON n.i = s.session WHERE EXISTS (SELECT 1 FROM `{S}`.trial t WHERE t.trial = n.i)
-- column list over a right join: replay
WITH d (c0, c1, c2, c3) AS (SELECT p.probe, p.kind, r.s1, r.s2 FROM `{S}`.probe p RIGHT JOIN `{S}`.pair r ON r.s1 = p.probe) SELECT d.c2 FROM d WHERE d.c0 = 1
-- column list over the star of a right join: replay
WITH d (c0, c1, c2, c3, c4, c5) AS (SELECT * FROM `{S}`.probe p RIGHT JOIN `{S}`.pair r ON r.s1 = p.probe) SELECT d.c4 FROM d WHERE d.c0 = 1
-- judged beside an aggregate of no rows: replay
SELECT s.subject FROM `{S}`.subject s JOIN (SELECT MAX(rt) AS c FROM `{S}`.trial WHERE rt > 100) d ON TRUE WHERE EXISTS (SELECT 1 FROM `{S}`.pair p WHERE p.subject = s.subject)
-- judged total of a rollup: replay
SELECT d.species, d.c FROM (SELECT species, COUNT(*) AS c FROM `{S}`.subject GROUP BY species WITH ROLLUP) d WHERE NOT EXISTS (SELECT 1 FROM `{S}`.session x WHERE x.session = d.c)
-- judged branches of a union: replay
SELECT d.x FROM (SELECT s1 AS x FROM `{S}`.pair UNION ALL SELECT s2 FROM `{S}`.pair UNION ALL SELECT s1 + s2 FROM `{S}`.pair) AS d WHERE NOT EXISTS (SELECT 1 FROM `{S}`.probe q WHERE q.probe = d.x)
-- on that tests an optional side: replay
SELECT s.subject FROM `{S}`.subject s LEFT JOIN `{S}`.trial t ON t.subject = s.subject JOIN `{S}`.pair p ON p.subject = s.subject AND t.trial IS NULL
-- on of an outer join that tests an optional side: replay
SELECT s.subject, p.s1 FROM `{S}`.subject s LEFT JOIN `{S}`.trial t ON t.subject = s.subject LEFT JOIN `{S}`.pair p ON p.subject = s.subject AND t.trial IS NULL
-- order by a position that is an aggregate: replay
SELECT subject, COUNT(*) FROM `{S}`.trial GROUP BY subject ORDER BY 2, 1 LIMIT 1
-- union ordered by an aggregate: replay
SELECT subject, COUNT(*) AS n FROM `{S}`.trial GROUP BY subject UNION ALL SELECT subject, s2 FROM `{S}`.pair ORDER BY n, subject LIMIT 2
-- optional value joined naturally: replay
SELECT p.probe, d.subject FROM `{S}`.probe p NATURAL JOIN (SELECT s.subject, COALESCE(t.trial + 10, 3) AS probe FROM `{S}`.subject s LEFT JOIN `{S}`.trial t ON t.subject = s.subject) d
-- not in the totals of a rollup: replay
SELECT subject FROM `{S}`.subject WHERE subject NOT IN (SELECT subject FROM `{S}`.trial WHERE rt > 0.5 GROUP BY subject WITH ROLLUP)
-- order by an expression over a column that an alias has too: replay
SELECT s.subject, s.weight AS rt FROM `{S}`.subject s LEFT JOIN `{S}`.trial t ON t.subject = s.subject ORDER BY COALESCE(t.rt, -1), COALESCE(rt, -1), s.subject, t.session, t.trial LIMIT 2
-- rows of a table and of none are judged one by one: replay
SELECT d.x FROM (SELECT trial AS x FROM `{S}`.trial UNION SELECT 5 UNION SELECT 3) AS d WHERE d.x NOT IN (SELECT q.probe FROM `{S}`.probe q)
-- judged by the optional side of a derived table: replay
SELECT d.s2 FROM (SELECT t.trial, r.s2 FROM `{S}`.trial t RIGHT JOIN `{S}`.pair r ON TRUE) d WHERE EXISTS (SELECT 1 FROM `{S}`.probe q WHERE q.probe = d.trial)
-- judged by the optional side of a CTE inside a derived table: replay
SELECT COUNT(*) FROM (WITH c AS (SELECT t.trial, r.s2 FROM `{S}`.pair r LEFT JOIN `{S}`.trial t ON t.subject = r.subject) SELECT c.s2 FROM c WHERE NOT EXISTS (SELECT 1 FROM `{S}`.probe q WHERE q.probe = c.trial)) q
-- judged by the kept part of an optional derived table: replay
SELECT s.subject FROM `{S}`.subject s LEFT JOIN (SELECT r.subject, r.s2, t.trial FROM `{S}`.pair r LEFT JOIN `{S}`.trial t ON t.subject = r.subject) d ON d.subject = s.subject WHERE NOT EXISTS (SELECT 1 FROM `{S}`.probe q WHERE q.probe = d.s2)
-- judged in a derived table on an optional side that is tested: replay
SELECT r.s1, v.species FROM `{S}`.pair r LEFT JOIN (SELECT s.subject, s.species FROM `{S}`.subject s WHERE NOT EXISTS (SELECT 1 FROM `{S}`.trial t WHERE t.subject = s.subject AND t.rt < 0.5)) v ON v.subject = r.subject WHERE v.subject IS NULL
-- judged in the ON of an optional side that is tested: replay
SELECT r.s1, s.species FROM `{S}`.pair r LEFT JOIN `{S}`.subject s ON s.subject = r.subject AND NOT EXISTS (SELECT 1 FROM `{S}`.trial t WHERE t.subject = s.subject AND t.rt < 0.5) WHERE s.subject IS NULL
-- judged by NOT IN on an optional side that is counted: replay
SELECT r.s1, COALESCE(v.n, 0) AS n FROM `{S}`.pair r LEFT JOIN (SELECT s.subject, COUNT(*) AS n FROM `{S}`.session s WHERE s.session NOT IN (SELECT p.probe FROM `{S}`.probe p WHERE p.probe > 1) GROUP BY s.subject) v ON v.subject = r.subject WHERE COALESCE(v.n, 0) < 1
-- having with a list of rows: replay
SELECT s.subject, t.trial, s.session FROM `{S}`.session s LEFT JOIN `{S}`.trial t ON t.subject = s.subject AND t.session = s.session HAVING (trial, session) NOT IN ((1, 1), (2, 2))
-- exists over a derived table that looks outwards: mysql
SELECT s.subject FROM `{S}`.subject s WHERE EXISTS (SELECT 1 FROM (SELECT t.trial FROM `{S}`.trial t WHERE t.subject = s.subject) d WHERE d.trial > 2)
-- not exists over a derived table that looks outwards: mysql
SELECT s.subject FROM `{S}`.subject s WHERE NOT EXISTS (SELECT 1 FROM (SELECT t.trial FROM `{S}`.trial t WHERE t.subject = s.subject AND t.rt < 0.5) d JOIN `{S}`.probe p ON p.probe = d.trial)
-- value over a derived table that looks outwards: mysql
SELECT s.subject, (SELECT COUNT(*) FROM (SELECT DISTINCT t.choice FROM `{S}`.trial t WHERE t.subject = s.subject) d) AS n FROM `{S}`.subject s WHERE s.weight > 0.5
-- value over a derived table that groups and looks outwards: mysql
SELECT s.subject FROM `{S}`.subject s WHERE (SELECT MAX(d.n) FROM (SELECT t.session, COUNT(*) AS n FROM `{S}`.trial t WHERE t.subject = s.subject GROUP BY t.session) d) = 2
-- not in over a derived table that looks outwards: mysql
SELECT s.subject, s.session FROM `{S}`.session s WHERE s.session NOT IN (SELECT d.trial FROM (SELECT t.trial, t.subject FROM `{S}`.trial t WHERE t.subject = s.subject) d WHERE d.trial < 3)
-- in over a limited derived table that looks outwards: mysql
SELECT s.subject, s.session FROM `{S}`.session s WHERE s.session IN (SELECT d.trial FROM (SELECT t.trial FROM `{S}`.trial t WHERE t.subject = s.subject ORDER BY t.session, t.trial LIMIT 1) d)
-- derived table that looks two levels outwards: mysql
SELECT s.subject FROM `{S}`.subject s WHERE EXISTS (SELECT 1 FROM `{S}`.session x WHERE x.subject = s.subject AND NOT EXISTS (SELECT 1 FROM (SELECT t.trial FROM `{S}`.trial t WHERE t.subject = s.subject AND t.session = x.session) d WHERE d.trial = 2))
-- natural join beside an invisible column: replay
SELECT d.note, t.trial FROM (SELECT * FROM `{S}`.noted) d NATURAL JOIN `{S}`.trial t WHERE t.rt > 0.3
-- star of a table with an invisible column in a union: replay
SELECT q.note FROM (SELECT * FROM `{S}`.noted UNION SELECT subject, species FROM `{S}`.subject) q WHERE q.subject < 'c'
-- invisible column by its name: exact
SELECT n.*, n.session FROM `{S}`.noted n WHERE session = 7
-- whether a union is empty whose branch skips rows: replay
SELECT EXISTS (SELECT p.probe FROM `{S}`.probe p WHERE p.probe > 1 UNION (SELECT t.trial FROM `{S}`.trial t WHERE t.subject = 'b' ORDER BY t.trial, t.session LIMIT 100 OFFSET 2))
-- window over rows of no table that an IN picks: replay
SELECT j.v, RANK() OVER (ORDER BY j.v) AS r FROM JSON_TABLE('[1, 2, 3]', '$[*]' COLUMNS (v INT PATH '$')) AS j WHERE j.v IN (SELECT t.trial FROM `{S}`.trial t WHERE t.rt > 0.5)
-- all of nothing is true for a missing partner: replay
SELECT s.subject FROM `{S}`.subject s LEFT JOIN `{S}`.pair p ON p.subject = s.subject WHERE p.s1 < ALL (SELECT t.trial FROM `{S}`.trial t WHERE t.session = p.s1 AND t.trial = p.s1)
-- not any of nothing is true for a missing partner: replay
SELECT s.subject FROM `{S}`.subject s LEFT JOIN `{S}`.pair p ON p.subject = s.subject WHERE NOT (p.s1 >= ANY (SELECT t.trial FROM `{S}`.trial t WHERE t.session = p.s1 AND t.trial = p.s1))
-- having that compares rows: replay
SELECT s.subject, s.session, t.trial FROM `{S}`.session s LEFT JOIN `{S}`.trial t ON t.subject = s.subject AND t.session = s.session HAVING (session, trial) >= (1, 2)
-- having that compares rows beside one that need not stay: replay
SELECT s.subject, s.session, t.trial FROM `{S}`.session s LEFT JOIN `{S}`.trial t ON t.subject = s.subject AND t.session = s.session HAVING (session, trial) >= (1, 2) AND subject IN (SELECT p.subject FROM `{S}`.pair p WHERE (p.s1, p.s2) IN (SELECT x.trial, x.session FROM `{S}`.trial x))
-- in inside a derived table on an optional side that is looked at: replay
SELECT r.s1, v.n FROM `{S}`.pair r LEFT JOIN (SELECT s.subject, s.session AS n FROM `{S}`.session s WHERE s.session IN (SELECT p.probe FROM `{S}`.probe p)) v ON v.subject = r.subject WHERE (SELECT COUNT(*) FROM `{S}`.trial t WHERE t.trial = v.n) < 1
-- in of an or inside a derived table on an optional side that is missed: replay
SELECT r.s1, v.n FROM `{S}`.pair r LEFT JOIN (SELECT DISTINCT s.session AS n FROM `{S}`.session s WHERE s.session IN (SELECT p.probe FROM `{S}`.probe p JOIN `{S}`.trial x ON x.trial = p.probe) OR s.subject IN (SELECT q.subject FROM `{S}`.noted q)) v ON v.n = r.s1 WHERE v.n IS NULL
-- in inside the ON of an optional side that is missed: replay
SELECT r.s1, s.session FROM `{S}`.pair r LEFT JOIN `{S}`.session s ON s.subject = r.subject AND s.session IN (SELECT p.probe FROM `{S}`.probe p) WHERE s.session IS NULL
-- not in a list of values that holds a subquery: replay
SELECT s.subject FROM `{S}`.subject s WHERE NOT s.species IN ((SELECT MAX(x.species) FROM `{S}`.subject x WHERE x.weight < 20), s.subject)
-- in a list of values that holds a subquery that looks outwards: replay
SELECT s.subject, s.session FROM `{S}`.session s WHERE s.session IN (7, (SELECT COUNT(*) FROM `{S}`.trial t WHERE t.subject = s.subject AND t.rt > 0.4), s.session - 1)
-- a value of a subquery in a list of rows: replay
SELECT p.subject FROM `{S}`.pair p WHERE (SELECT MAX(t.trial) FROM `{S}`.trial t WHERE t.subject = p.subject) NOT IN (1, (SELECT MIN(q.probe) FROM `{S}`.probe q))
-- in inside a LATERAL on an optional side that is looked at: mysql
SELECT r.s1, v.n FROM `{S}`.pair r LEFT JOIN LATERAL (SELECT r.s2 AS o, s.session AS n FROM `{S}`.session s WHERE s.subject = r.subject AND s.session IN (SELECT p.probe FROM `{S}`.probe p)) v ON TRUE WHERE (SELECT COUNT(*) FROM `{S}`.trial t WHERE t.trial = v.n) < 1
-- in inside a derived table whose groups are tested: replay
SELECT d.subject, COUNT(*) AS n FROM (SELECT t.subject, t.trial FROM `{S}`.trial t WHERE t.trial IN (SELECT p.probe FROM `{S}`.probe p)) d GROUP BY d.subject HAVING COUNT(*) < 2
-- in inside a derived table that a window looks at: replay
SELECT d.subject, RANK() OVER (PARTITION BY d.subject ORDER BY d.rt, d.session, d.trial) AS r FROM (SELECT t.* FROM `{S}`.trial t WHERE t.trial IN (SELECT p.probe FROM `{S}`.probe p)) d WHERE d.rt > 0.2
-- in inside a derived table that a subquery counts: replay
SELECT s.subject FROM `{S}`.subject s WHERE (SELECT COUNT(*) FROM (SELECT t.subject, t.trial FROM `{S}`.trial t WHERE t.trial IN (SELECT p.probe FROM `{S}`.probe p)) d WHERE d.subject = s.subject) < 2
-- in inside a derived table that NOT EXISTS looks at: replay
SELECT s.subject FROM `{S}`.subject s WHERE NOT EXISTS (SELECT 1 FROM (SELECT t.subject, t.trial FROM `{S}`.trial t WHERE t.trial IN (SELECT p.probe FROM `{S}`.probe p)) d WHERE d.subject = s.subject)
-- in inside a derived table that NOT IN reads: replay
SELECT s.subject FROM `{S}`.subject s WHERE s.subject NOT IN (SELECT d.subject FROM (SELECT t.subject, t.trial FROM `{S}`.trial t WHERE t.trial IN (SELECT p.probe FROM `{S}`.probe p)) d)
-- in inside a derived table inside one whose groups are tested: replay
SELECT e.subject, MIN(e.n) AS m FROM (SELECT d.subject, d.session, COUNT(*) AS n FROM (SELECT t.* FROM `{S}`.trial t WHERE t.trial IN (SELECT p.probe FROM `{S}`.probe p)) d GROUP BY d.subject, d.session) e GROUP BY e.subject HAVING MIN(e.n) < 2
