PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE ValidPaths (
    id               integer primary key autoincrement not null,
    path             text unique not null,
    hash             text not null,
    registrationTime integer not null,
    deriver          text,
    narSize          integer,
    ultimate         integer, -- null implies "false"
    sigs             text, -- space-separated
    ca               text -- if not null, an assertion that the path is content-addressed; see ValidPathInfo
);
INSERT INTO ValidPaths VALUES(1,'/srv/sample/store/rv35iyr8b0gck32ml8a0b62lfb90a4xn-dep-1.0.drv','sha256:1e55424b14e5b070479546865f91790c3fc8f4d661f20272290e3c007f5da2a9',1795391339,NULL,392,NULL,NULL,'text:sha256:08w5dsv73w5lcld0wahx7pml7kprnk4qq6cm6fy57ngp1j6n2z4h');
INSERT INTO ValidPaths VALUES(2,'/srv/sample/store/50p3lyg0gdqvlbl0nxlhwnb3qf03w4ks-src','sha256:878832cd22b5e038e117b701378558f8a9b6cad7381a0e6d57a9e865d34f85a6',1795391339,NULL,288,NULL,NULL,'fixed:r:sha256:19l59z9nbs59axnhw6iqsz5bdagqb22kf0dp2zhkiq5m4b6k5247');
INSERT INTO ValidPaths VALUES(3,'/srv/sample/store/n245spvind3c5d7h2lqwqf9vwkdyhbg8-top-2.0.drv','sha256:07e166bd6b894aa712fe834898c66483bb9b55b8e09d0a8bccc49beae31a3c80',1795391339,NULL,832,NULL,NULL,'text:sha256:12198r6id0v1jhxaqm5m2mrck3252ilb6d7rl59javjr7vz1chp8');
INSERT INTO ValidPaths VALUES(4,'/srv/sample/store/wn0i8phiazgzm42w59rbzflc0q7j4lqr-dep-1.0','sha256:7bdbc9e6407d9d3ed40adc64d746be6366b5f58ee668c6b02866008bbef57202',1795391343,'/srv/sample/store/rv35iyr8b0gck32ml8a0b62lfb90a4xn-dep-1.0.drv',120,1,NULL,NULL);
INSERT INTO ValidPaths VALUES(5,'/srv/sample/store/2dr4sbfsqvd7lrb0rsq0898jixspgszm-top-2.0-dev','sha256:3eb5e494a4c31e44a1910a6c69c22e49c563ab9f7b1e252fdbd6ea24105a4f6b',1795391343,'/srv/sample/store/n245spvind3c5d7h2lqwqf9vwkdyhbg8-top-2.0.drv',176,1,NULL,NULL);
INSERT INTO ValidPaths VALUES(6,'/srv/sample/store/6kzwai48bi4xgkq3zlg5x7hiwvvx4bgi-top-2.0','sha256:f52a2ad03c530a824dc331934b40e59b8429a86254411907518a86fbf87c865d',1795391343,'/srv/sample/store/n245spvind3c5d7h2lqwqf9vwkdyhbg8-top-2.0.drv',288,1,'other-1:dlEgiRM4alh1fpPhhXV/4oc9I8LAwKP4mvgaSqCj8tfmx/6ApNGC5HTKpwl0aZGzF3AQNee952itPGishVjKAg== test-1:dYsEGvC6RnPne6DD4HoLKePtnvG+FxgKcDtVlos0P2PteImDaoQgdoRICCaCQuFJZxEBFNVbuB6SRX9UlexFCA==',NULL);
INSERT INTO ValidPaths VALUES(7,'/srv/sample/store/188sraz9c56iw59nk4lq9z9c8pg1gi8c-ca-dep.drv','sha256:ccc6f266c8bd9a7a6db46998803fe1b7e1e31f40d38d510c26869eeb50d0cf15',1795391344,NULL,392,NULL,NULL,'text:sha256:15nly6n8sn5pn8dnv1wgrg799rhcxqdr0a8k2q6pvgna89cpcmf8');
INSERT INTO ValidPaths VALUES(8,'/srv/sample/store/hja6558j73bc1jrkb75zcmyn3vskhs3h-ca-top.drv','sha256:e7ffd89d0781dad27d1d9dd3d0af285c5c0903c26e85a68224732a171daa9f9a',1795391344,NULL,520,NULL,NULL,'text:sha256:0sz6ikkv3c60jcwi5nnc6r3qmzsz6l3i9zp33s789x9n2c3j3245');
INSERT INTO ValidPaths VALUES(9,'/srv/sample/store/5g8ijn11p7srxdnvwxv3yxj8z6x56ypg-ca-dep','sha256:9276fd53b49dcbf6168f8823aef1487af2ee4e2304b7ee6412dba79982b90a86',1795391348,'/srv/sample/store/188sraz9c56iw59nk4lq9z9c8pg1gi8c-ca-dep.drv',120,1,NULL,'fixed:r:sha256:11hap619k9yv29jfxdq44d7fxwks93qsw8w8iwbgdjwxni9zsxlj');
INSERT INTO ValidPaths VALUES(10,'/srv/sample/store/y0cn00c5r2xl4x1awrsf7lyh44gdwby6-ca-top.drv','sha256:89a08bf6c422b9e5ee8e991143d352e175b464cbc5bd93e8ca0ac166549bc34c',1795391348,NULL,512,NULL,NULL,'text:sha256:0r49vwfj8nr479qn6smki1j89q6wdcf9j2n29xiix6gs34ar6wrn');
INSERT INTO ValidPaths VALUES(11,'/srv/sample/store/wwmc50vnky1vrqrsxcnk9c3zrx9vynpi-ca-top','sha256:0ef598df3f8f9712d3892439617f4e94727658bb59dcf9abef570dd3f294ee46',1795391348,'/srv/sample/store/y0cn00c5r2xl4x1awrsf7lyh44gdwby6-ca-top.drv',176,1,'test-1:0O8CPcwteMo2YipXKVCeKKPYpPS161A05UTi0mFa/P2qN30VGl8jK5JmX/gdaDW+IqAlSdCytyC8mlLAl778Dg==','fixed:r:sha256:0ipfjkrd63apxymzkp2rpdc7cwll9rzn2f94i79i55wg7zgrix8f');
CREATE TABLE Refs (
    referrer  integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
);
INSERT INTO Refs VALUES(3,2);
INSERT INTO Refs VALUES(3,1);
INSERT INTO Refs VALUES(5,6);
INSERT INTO Refs VALUES(6,2);
INSERT INTO Refs VALUES(6,6);
INSERT INTO Refs VALUES(6,4);
INSERT INTO Refs VALUES(8,7);
INSERT INTO Refs VALUES(10,9);
INSERT INTO Refs VALUES(11,9);
CREATE TABLE DerivationOutputs (
    drv  integer not null,
    id   text not null, -- symbolic output id, usually "out"
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
);
INSERT INTO DerivationOutputs VALUES(1,'out','/srv/sample/store/wn0i8phiazgzm42w59rbzflc0q7j4lqr-dep-1.0');
INSERT INTO DerivationOutputs VALUES(3,'dev','/srv/sample/store/2dr4sbfsqvd7lrb0rsq0898jixspgszm-top-2.0-dev');
INSERT INTO DerivationOutputs VALUES(3,'out','/srv/sample/store/6kzwai48bi4xgkq3zlg5x7hiwvvx4bgi-top-2.0');
CREATE TABLE Realisations (
    id integer primary key autoincrement not null,
    drvPath text not null,
    outputName text not null, -- symbolic output id, usually "out"
    outputPath integer not null,
    signatures text, -- space-separated list
    foreign key (outputPath) references ValidPaths(id) on delete cascade
);
INSERT INTO Realisations VALUES(1,'sha256:14b1843bcf99d5a7f984b07bcaffb18606244aa12b155c969d5b9f947f6e99e1','out',4,'');
INSERT INTO Realisations VALUES(2,'sha256:13be54fc4b9ca7ce81f4af47b8bef5b7eb6a2833e22f8b5bc464ce0be698772a','dev',5,'');
INSERT INTO Realisations VALUES(3,'sha256:13be54fc4b9ca7ce81f4af47b8bef5b7eb6a2833e22f8b5bc464ce0be698772a','out',6,'');
INSERT INTO Realisations VALUES(4,'sha256:6f22cb2939b4eeb1454bde9483f819dc180a4c5060fb390fb1ac84a2d31979c0','out',9,'');
INSERT INTO Realisations VALUES(5,'sha256:bbcaa33482cc9a8077ad08a527cec0216b9eb0b89b7e803238ce21b4ddcf764e','out',11,'');
INSERT INTO Realisations VALUES(6,'sha256:0f8f3c16ff82cc177ca162ad9b1c0baa351984dd3f7a725bfafbf7d56abbf4e6','out',11,'');
CREATE TABLE RealisationsRefs (
    referrer integer not null,
    realisationReference integer,
    foreign key (referrer) references Realisations(id) on delete cascade,
    foreign key (realisationReference) references Realisations(id) on delete restrict
);
INSERT INTO RealisationsRefs VALUES(6,4);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('ValidPaths',11);
INSERT INTO sqlite_sequence VALUES('Realisations',6);
CREATE INDEX IndexReferrer on Refs(referrer);
CREATE INDEX IndexReference on Refs(reference);
CREATE TRIGGER DeleteSelfRefs before delete on ValidPaths
  begin
    delete from Refs where referrer = old.id and reference = old.id;
  end;
CREATE INDEX IndexDerivationOutputs on DerivationOutputs(path);
CREATE INDEX IndexRealisations on Realisations(drvPath, outputName);
CREATE INDEX IndexRealisationsRefs on RealisationsRefs(referrer);
CREATE INDEX IndexRealisationsRefsOnOutputPath on Realisations(outputPath);
COMMIT;
