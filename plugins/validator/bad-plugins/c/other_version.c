/* A manifest that says another version than the table. */
#define MANIFEST                                                                                 \
    "{\"abi\": {\"major\": 1, \"minor\": 0}, \"name\": \"test-plugin\", \"version\": \"1.2.3\"," \
    " \"experts\": [{\"name\": \"good\", \"outputs\": [{\"name\": \"light\"}, {\"name\": \"length\"}]}]}"
#include "good.h"
