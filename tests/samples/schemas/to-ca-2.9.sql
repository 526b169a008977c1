CREATE TRIGGER DeleteSelfRefsViaRealisations before delete on ValidPaths
                begin
                    delete from RealisationsRefs where realisationReference in (
                    select id from Realisations where outputPath = old.id
                    );
                end;
CREATE INDEX IndexRealisationsRefsRealisationReference on RealisationsRefs(realisationReference);
