CREATE INDEX IndexRealisationsRefs on RealisationsRefs(referrer);
CREATE INDEX IndexRealisationsRefsOnOutputPath on Realisations(outputPath);
