"""How `python3 run.py lab` serves notebooks.

Messages to the browser leave at once: by default TCP holds the second of two small ones until the
first is acknowledged, up to 40 ms. A notebook is handed out with the version of this Python, which
JupyterLab would otherwise write into it, and mark it as changed, on opening.
"""

import platform

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class Prompt(ZMQChannelsWebsocketConnection):
    def connect(self):
        self.websocket_handler.set_nodelay(True)
        return super().connect()


class Unchanged(AsyncLargeFileManager):
    async def get(self, *args, **kwargs):
        model = await super().get(*args, **kwargs)
        if model["type"] == "notebook" and model["content"]:
            language = model["content"]["metadata"].get("language_info", {})
            if language.get("name") == "python":
                language["version"] = platform.python_version()
        return model


c.ServerApp.kernel_websocket_connection_class = Prompt  # noqa: F821
c.ServerApp.contents_manager_class = Unchanged  # noqa: F821
