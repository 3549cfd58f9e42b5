"""The conformance kit a third party's store is tested with; nothing that is shipped imports it."""
