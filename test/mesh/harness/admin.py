"""Questions to a proxy's admin interface."""

import re
import urllib.parse


class Admin:
    """For whoever has ask_admin(path, method) -> (status, text)."""

    def admin(self, path, method="GET"):
        """The text of an admin page; fails unless it is 200."""
        status, text = self.ask_admin(path, method)
        if status != 200:
            raise AssertionError(f"admin {method} {path}: {status} {text[:300]}")
        return text

    def stat(self, name):
        """One counter or gauge, 0 when it does not exist."""
        for line in self.admin("/stats?filter=" + urllib.parse.quote("^" + re.escape(name) + "$")).splitlines():
            key, _, value = line.partition(": ")
            if key == name:
                return int(value)
        return 0
